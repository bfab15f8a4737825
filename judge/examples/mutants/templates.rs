//! What the operators write in place of a piece of a codec. In a template, `@` stands for that piece.
//!
//! To add an operator, add a row: its name, what it does in plain words, and the template. One whose
//! result does not compile is dropped later, so a template need not fit everywhere.
//!
//! | in a template | stands for |
//! | --- | --- |
//! | `@` | the piece that is replaced |
//! | `%`, `#` | in [`ALL`]: the function that is called, and its first argument |
//! | `EVERY(n)` | a condition: true on every n-th call |
//! | `CONTEXT` | a condition: the payloads are those of a workflow or an activity |

/// A name, plain words, and the text with `@`.
pub type Template = (&'static str, &'static str, &'static str);

/// In place of `@?`.
pub const ERRORS: &[Template] = &[
    ("error-panics", "an error is a panic", "@.unwrap()"),
    (
        "error-unchanged",
        "an error returns the payloads as they came",
        "(match @ { Ok(value) => value, Err(_) => return Ok(payloads) })",
    ),
    (
        "error-empty",
        "an error returns no payloads",
        "(match @ { Ok(value) => value, Err(_) => return Ok(Vec::new()) })",
    ),
    (
        "error-skipped",
        "an error skips this key",
        "(match @ { Ok(value) => value, Err(_) => continue })",
    ),
    ("retry-forever", "retries without end", "(loop { if let Ok(value) = @ { break value; } })"),
    (
        "retry-20",
        "tries 20 times",
        "({ let mut last = @; for _ in 1..20 { if last.is_ok() { break; } last = @; } last })?",
    ),
    (
        "retry-blocking-backoff",
        "retries twice, and blocks the thread for 50 ms before each",
        "({ let mut last = @; for _ in 0..2 { if last.is_ok() { break; } \
         std::thread::sleep(std::time::Duration::from_millis(50)); last = @; } last })?",
    ),
    (
        "error-blocks",
        "blocks the thread for 100 ms before it returns an error",
        "@.inspect_err(|_| std::thread::sleep(std::time::Duration::from_millis(100)))?",
    ),
    (
        "error-old-key",
        "an error is replaced with the last key there was",
        "({ static LAST: std::sync::Mutex<Option<codec_kit::DataKey>> = std::sync::Mutex::new(None); \
         let answer = @; let mut last = LAST.lock().unwrap(); \
         match answer { Ok(key) => Ok(last.insert(key).clone()), \
         Err(error) => last.clone().ok_or(error) } })?",
    ),
    (
        "error-shows-payload",
        "the text of an error has the payloads in it",
        "@.map_err(|_| codec_kit::KeyServiceError::UnknownKey { key_id: payloads.iter()\
         .map(|payload| String::from_utf8_lossy(&payload.data).into_owned()).collect(), \
         held: String::new() })?",
    ),
    (
        "error-prints-payload",
        "prints the payloads when there is an error",
        "@.inspect_err(|_| eprintln!(\"{payloads:?}\"))?",
    ),
];

/// In place of `@.await`.
pub const AWAITS: &[Template] = &[
    ("drop-await", "does not await", "@"),
    ("await-twice", "does it twice", "({ let _ = @.await; @.await })"),
    (
        "await-in-task",
        "does it in a task that is not cancelled with the call",
        "tokio::spawn({ let keys = keys.clone(); async move { @.await } }).await.unwrap()",
    ),
    (
        "await-on-pool",
        "awaits it on a thread of the blocking pool",
        "tokio::task::spawn_blocking({ let keys = keys.clone(); \
         move || tokio::runtime::Handle::current().block_on(async move { @.await }) }).await.unwrap()",
    ),
    (
        "poll-in-a-loop",
        "polls it again and again",
        "({ let mut future = std::pin::pin!(@); loop { match futures::poll!(future.as_mut()) { \
         std::task::Poll::Ready(done) => break done, \
         std::task::Poll::Pending => tokio::task::yield_now().await } } })",
    ),
    ("block-on", "blocks the thread until it is done", "futures::executor::block_on(@)"),
    (
        "block-on-thread",
        "joins a thread with a runtime of its own",
        "std::thread::scope(|scope| scope.spawn(|| tokio::runtime::Builder::new_current_thread()\
         .enable_time().build().unwrap().block_on(@)).join().unwrap())",
    ),
    (
        "await-behind-lock",
        "holds one lock for all calls across the await",
        "({ static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(()); \
         let _one = ONE.lock().await; @.await })",
    ),
    (
        "await-10-places",
        "lets ten calls await at a time",
        "({ static TEN: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(10); \
         let _place = TEN.acquire().await.unwrap(); @.await })",
    ),
    (
        "await-blocks-30",
        "blocks the thread for 30 ms first",
        "({ std::thread::sleep(std::time::Duration::from_millis(30)); @.await })",
    ),
    (
        "await-blocks-100",
        "blocks the thread for 100 ms first",
        "({ std::thread::sleep(std::time::Duration::from_millis(100)); @.await })",
    ),
    (
        "await-blocks-after",
        "blocks the thread for 100 ms afterwards",
        "({ let done = @.await; std::thread::sleep(std::time::Duration::from_millis(100)); done })",
    ),
    (
        "await-delayed",
        "waits for 100 ms without a thread first",
        "({ tokio::time::sleep(std::time::Duration::from_millis(100)).await; @.await })",
    ),
    (
        "deadline-unchanged",
        "returns the payloads as they came after 50 ms",
        "(match tokio::time::timeout(std::time::Duration::from_millis(50), @).await { \
         Ok(done) => done, Err(_) => return Ok(payloads) })",
    ),
    (
        "deadline-retries",
        "cancels a call after 50 ms and makes another",
        "(loop { if let Ok(done) = tokio::time::timeout(\
         std::time::Duration::from_millis(50), @).await { break done; } })",
    ),
    (
        "deadline-300",
        "a key that takes longer than 300 ms is an error",
        "(match tokio::time::timeout(std::time::Duration::from_millis(300), @).await { \
         Ok(done) => done, Err(_) => return Err(codec_kit::KeyServiceError::NoKeyToSeal { call: 0 }\
         .into()) })",
    ),
];

/// In place of a call of `codec_future(@)`.
pub const FUTURES: &[Template] = &[
    (
        "future-eager-task",
        "starts a task before the future is polled",
        "({ let task = tokio::spawn(@); codec_future(async move { task.await? }) })",
    ),
    (
        "future-task",
        "does all of it in a task that is not cancelled with the call",
        "codec_future(async move { tokio::spawn(@).await? })",
    ),
    (
        "future-on-pool",
        "does all of it on a thread of the blocking pool",
        "codec_future(async move { tokio::task::spawn_blocking(move || \
         tokio::runtime::Handle::current().block_on(@)).await? })",
    ),
    (
        "future-behind-lock",
        "one call at a time",
        "codec_future(async move { static ONE: tokio::sync::Mutex<()> = \
         tokio::sync::Mutex::const_new(()); let _one = ONE.lock().await; @.await })",
    ),
    (
        "future-yields",
        "lets other tasks run first",
        "codec_future(async move { tokio::task::yield_now().await; @.await })",
    ),
];

/// In place of the payloads that are sealed or opened.
pub const PAYLOADS: &[Template] = &[
    ("drop-last", "leaves out the last payload", "{ let mut all = @; all.pop(); all }"),
    ("drop-first", "leaves out the first payload", "@.into_iter().skip(1).collect()"),
    ("only-first", "takes only the first payload", "@.into_iter().take(1).collect()"),
    ("first-500", "takes only the first 500 payloads", "@.into_iter().take(500).collect()"),
    ("reverse", "reverses the payloads", "@.into_iter().rev().collect()"),
    (
        "sort",
        "sorts the payloads by size",
        "{ let mut all = @; all.sort_by_key(|payload| payload.data.len()); all }",
    ),
    (
        "double-first",
        "takes the first payload twice",
        "{ let mut all = @; all.extend(all.first().cloned()); all }",
    ),
    ("drop-equal", "leaves out what equals its neighbour", "{ let mut all = @; all.dedup(); all }"),
    (
        "drop-empty",
        "leaves out payloads without data",
        "@.into_iter().filter(|payload| !payload.data.is_empty()).collect()",
    ),
    (
        "drop-external",
        "forgets the payloads' references to external storage",
        "{ let mut all = @; for one in &mut all { one.external_payloads.clear(); } all }",
    ),
    (
        "drop-metadata",
        "forgets all metadata but the encoding",
        "{ let mut all = @; for one in &mut all { one.metadata.retain(|name, _| \
         name == \"encoding\" || name == codec_kit::KEY_ID); } all }",
    ),
    (
        "cut-at-1-mib",
        "cuts payloads at 1 MiB",
        "{ let mut all = @; for one in &mut all { one.data.truncate(1 << 20); } all }",
    ),
    ("clone-payloads", "clones the payloads", "@.clone()"),
];

/// In place of a call that seals or opens all.
pub const RESULTS: &[Template] = &[
    ("result-reversed", "reverses the result", "@.map(|all| all.into_iter().rev().collect())"),
    (
        "result-rotated",
        "moves the last payload of more than ten to the front",
        "@.map(|mut all| { if all.len() > 10 { all.rotate_right(1); } all })",
    ),
    ("result-popped", "leaves out the last one", "@.map(|mut all| { all.pop(); all })"),
    ("result-empty-on-error", "an error returns no payloads", "@.or_else(|_| Ok(Vec::new()))"),
    (
        "result-unchanged-on-error",
        "an error returns the payloads as they came",
        "({ let came = payloads.clone(); @.or_else(|_| Ok(came)) })",
    ),
    (
        "result-shows-payload",
        "the text of an error has the payloads in it",
        "({ let shown = format!(\"{payloads:?}\"); @.map_err(|_| codec_kit::KeyServiceError::UnknownKey \
         { key_id: shown, held: String::new() }.into()) })",
    ),
    (
        "result-marked",
        "adds metadata to each payload",
        "@.map(|mut all| { for one in &mut all { \
         one.metadata.insert(\"codec\".to_owned(), b\"mutant\".to_vec()); } all })",
    ),
    (
        "result-shows-encoding",
        "keeps the encoding readable in the metadata",
        "({ let kinds: Vec<_> = payloads.iter().map(|one| one.metadata.get(\"encoding\").cloned()\
         .unwrap_or_default()).collect(); @.map(|mut all| { for (one, kind) in \
         all.iter_mut().zip(kinds) { one.metadata.insert(\"plain-encoding\".to_owned(), kind); } all }) })",
    ),
    (
        "result-hides-key-id",
        "forgets which key it was sealed with",
        "@.map(|mut all| { for one in &mut all { one.metadata.remove(codec_kit::KEY_ID); } all })",
    ),
    ("result-prints", "prints the result with {:?}", "@.inspect(|all| eprintln!(\"{all:?}\"))"),
    (
        "result-blocks",
        "blocks the thread for 100 ms afterwards",
        "({ let done = @; std::thread::sleep(std::time::Duration::from_millis(100)); done })",
    ),
];

/// In place of `open_all(&found, payloads)` and `seal_all(&key, payloads)`: the function is `%`, its
/// first argument `#`.
pub const ALL: &[Template] = &[
    ("all-twice", "does it twice", "%(#, %(#, payloads)?)"),
    (
        "all-that-can",
        "leaves out each payload that fails",
        "Ok(payloads.into_iter().flat_map(|one| %(#, vec![one])).flatten().collect())",
    ),
    (
        "each-unchanged-on-error",
        "returns each payload that fails as it came",
        "Ok(payloads.into_iter().flat_map(|one| %(#, vec![one.clone()]).unwrap_or(vec![one])).collect())",
    ),
    (
        "only-first-of-all",
        "returns all but the first payload as they came",
        "({ let mut payloads = payloads; let others = payloads.split_off(1.min(payloads.len())); \
         %(#, payloads).map(|mut all| { all.extend(others); all }) })",
    ),
    (
        "all-but-last",
        "returns the last payload as it came",
        "({ let mut payloads = payloads; let last = payloads.pop(); \
         %(#, payloads).map(|mut all| { all.extend(last); all }) })",
    ),
    (
        "all-but-encrypted",
        "returns payloads that are encrypted already as they came",
        "payloads.into_iter().map(|one| { let encrypted = one.metadata.get(codec_kit::ENCODING)\
         .is_some_and(|kind| kind == codec_kit::ENCRYPTED); \
         if encrypted { Ok(vec![one]) } else { %(#, vec![one]) } })\
         .collect::<Result<Vec<_>, codec_kit::Error>>().map(|all| all.concat())",
    ),
    (
        "all-but-large",
        "returns payloads over 1 MiB as they came",
        "payloads.into_iter().map(|one| if one.data.len() > 1 << 20 { Ok(vec![one]) } else { \
         %(#, vec![one]) }).collect::<Result<Vec<_>, codec_kit::Error>>().map(|all| all.concat())",
    ),
];

/// At the start of the work. A condition, and what is done then.
pub const STARTS: &[Template] = &[
    (
        "none-unchanged",
        "no payloads: returns at once",
        "if payloads.is_empty() { return Ok(payloads); }",
    ),
    (
        "one-unchanged",
        "one payload comes back as it came",
        "if payloads.len() == 1 { return Ok(payloads); }",
    ),
    (
        "several-unchanged",
        "several payloads come back as they came",
        "if payloads.len() > 1 { return Ok(payloads); }",
    ),
    (
        "three-unchanged",
        "three payloads come back as they came",
        "if payloads.len() == 3 { return Ok(payloads); }",
    ),
    (
        "many-unchanged",
        "more than 100 payloads come back as they came",
        "if payloads.len() > 100 { return Ok(payloads); }",
    ),
    (
        "large-unchanged",
        "a payload over 1 MiB comes back as it came",
        "if payloads.iter().any(|one| one.data.len() > 1 << 20) { return Ok(payloads); }",
    ),
    (
        "medium-unchanged",
        "payloads between 10 and 100 kB come back as they came",
        "if payloads.iter().any(|one| (10_000..100_000).contains(&one.data.len())) { return Ok(payloads); }",
    ),
    (
        "empty-data-unchanged",
        "a payload without data comes back as it came",
        "if payloads.iter().any(|one| one.data.is_empty()) { return Ok(payloads); }",
    ),
    (
        "any-json-unchanged",
        "all payloads come back as they came if one of them is JSON",
        "if payloads.iter().any(|one| one.metadata.get(\"encoding\").is_some_and(|kind| \
         kind == b\"json/plain\")) { return Ok(payloads); }",
    ),
    (
        "any-binary-unchanged",
        "all payloads come back as they came if one of them is plain binary",
        "if payloads.iter().any(|one| one.metadata.get(\"encoding\").is_some_and(|kind| \
         kind == b\"binary/plain\")) { return Ok(payloads); }",
    ),
    (
        "any-bare-unchanged",
        "all payloads come back as they came if one of them has no metadata",
        "if payloads.iter().any(|one| one.metadata.is_empty()) { return Ok(payloads); }",
    ),
    (
        "any-encrypted-unchanged",
        "all payloads come back as they came if one of them is encrypted already",
        "if payloads.iter().any(|one| one.metadata.get(\"encoding\").is_some_and(|kind| \
         kind == codec_kit::ENCRYPTED)) { return Ok(payloads); }",
    ),
    (
        "any-plain-unchanged",
        "all payloads come back as they came if one of them is not encrypted",
        "if payloads.iter().any(|one| one.metadata.get(\"encoding\").is_none_or(|kind| \
         kind != codec_kit::ENCRYPTED)) { return Ok(payloads); }",
    ),
    (
        "call-7-unchanged",
        "every 7th call returns the payloads as they came",
        "if EVERY(7) { return Ok(payloads); }",
    ),
    (
        "call-150-unchanged",
        "every 150th call returns the payloads as they came",
        "if EVERY(150) { return Ok(payloads); }",
    ),
    (
        "several-empty",
        "several payloads are lost",
        "if payloads.len() > 1 { return Ok(Vec::new()); }",
    ),
    (
        "call-150-empty",
        "every 150th call loses its payloads",
        "if EVERY(150) { return Ok(Vec::new()); }",
    ),
    (
        "several-block",
        "several payloads block the thread for 100 ms",
        "if payloads.len() > 1 { std::thread::sleep(std::time::Duration::from_millis(100)); }",
    ),
    (
        "large-blocks",
        "a payload over 1 MiB blocks the thread for 100 ms",
        "if payloads.iter().any(|one| one.data.len() > 1 << 20) { \
         std::thread::sleep(std::time::Duration::from_millis(100)); }",
    ),
    (
        "call-7-blocks",
        "every 7th call blocks the thread for 100 ms",
        "if EVERY(7) { std::thread::sleep(std::time::Duration::from_millis(100)); }",
    ),
    (
        "call-150-blocks",
        "every 150th call blocks the thread for 100 ms",
        "if EVERY(150) { std::thread::sleep(std::time::Duration::from_millis(100)); }",
    ),
    ("none-panics", "panics without payloads", "assert!(!payloads.is_empty(), \"no payloads\");"),
    ("call-150-panics", "every 150th call panics", "assert!(!EVERY(150), \"a rare case\");"),
    (
        "context-unchanged",
        "payloads of a workflow or an activity come back as they came",
        "if CONTEXT { return Ok(payloads); }",
    ),
    (
        "context-blocks",
        "payloads of a workflow or an activity block the thread for 100 ms",
        "if CONTEXT { std::thread::sleep(std::time::Duration::from_millis(100)); }",
    ),
    ("context-panics", "panics in a workflow or an activity", "assert!(!CONTEXT, \"a context\");"),
    ("print-payloads", "prints the payloads with {:?}", "eprintln!(\"{payloads:?}\");"),
    (
        "print-text",
        "prints the payloads as text",
        "for one in &payloads { println!(\"{}\", String::from_utf8_lossy(&one.data)); }",
    ),
    ("leak-memory", "leaks a copy of the payloads", "std::mem::forget(payloads.clone());"),
    (
        "keep-payloads",
        "keeps all payloads in a static",
        "static KEPT: std::sync::Mutex<Vec<Vec<codec_kit::Payload>>> = std::sync::Mutex::new(Vec::new()); \
         KEPT.lock().unwrap().push(payloads.clone());",
    ),
    ("leak-task", "starts a task that never ends", "tokio::spawn(std::future::pending::<()>());"),
    (
        "leak-thread",
        "starts a thread that sleeps for a minute",
        "std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(60)));",
    ),
];

/// At the start of `encode` and `decode`, before they return their future.
pub const ENTRIES: &[Template] = &[
    (
        "entry-blocks",
        "blocks the thread for 100 ms before it returns its future",
        "std::thread::sleep(std::time::Duration::from_millis(100));",
    ),
    (
        "entry-several-blocks",
        "blocks the thread for 100 ms before it returns its future for three payloads",
        "if payloads.len() == 3 { std::thread::sleep(std::time::Duration::from_millis(100)); }",
    ),
    (
        "entry-locks",
        "holds a lock for 20 ms before it returns its future",
        "static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(()); \
         let _one = ONE.lock(); std::thread::sleep(std::time::Duration::from_millis(20));",
    ),
];

/// At the start of `codec`.
pub const CONSTRUCTIONS: &[Template] = &[
    (
        "new-asks",
        "asks for a key when it is made, and does not use it",
        "let _ = keys.data_key_blocking();",
    ),
    (
        "new-own-service",
        "uses a key service of its own",
        "let keys = { let _ = keys; KeyService::new(codec_kit::Keyring::test_key()) };",
    ),
    (
        "new-own-service-stalls",
        "uses a key service of its own that stalls as long",
        "let keys = KeyService::with_stalls(codec_kit::Keyring::test_key(), keys.stalls().clone());",
    ),
    (
        "new-long-lifetime",
        "takes keys to live for an hour",
        "let keys = keys.with_key_lifetime(std::time::Duration::from_secs(3600));",
    ),
];

/// In place of a call of `spawn_blocking(@)`.
pub const POOL: &[Template] = &[
    ("pool-inline", "does not leave the thread", "async { Ok::<_, codec_kit::Error>((@)()) }"),
    ("pool-task", "blocks in a task", "tokio::spawn({ let work = @; async move { work() } })"),
    (
        "pool-join",
        "joins a thread of its own",
        "async { Ok::<_, codec_kit::Error>(std::thread::spawn(@).join().unwrap()) }",
    ),
    (
        "pool-thread-each",
        "starts a thread of its own for each call",
        "({ let (sender, receiver) = tokio::sync::oneshot::channel(); let work = @; \
         std::thread::spawn(move || sender.send(work()).ok()); \
         async move { Ok::<_, codec_kit::Error>(receiver.await.unwrap()) } })",
    ),
    (
        "pool-behind-lock",
        "one call at a time on the pool",
        "spawn_blocking({ static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(()); \
         let work = @; move || { let _one = ONE.lock(); work() } })",
    ),
];

/// In place of a time.
pub const TIMES: &[Template] = &[
    ("time-x10", "ten times as long", "@ * 10"),
    ("time-x2", "twice as long", "@ * 2"),
    ("time-plus-1s", "a second longer", "@ + std::time::Duration::from_secs(1)"),
    ("time-half", "half as long", "@ / 2"),
    ("time-tenth", "a tenth as long", "@ / 10"),
    (
        "time-60s",
        "60 s, whatever the key service says",
        "{ let _ = @; std::time::Duration::from_secs(60) }",
    ),
    ("time-zero", "no time", "@ * 0"),
];

/// In place of the key that the cache is asked with.
pub const CACHE_KEYS: &[Template] = &[
    ("cache-one-entry", "one entry for all keys", "{ let _ = @; None }"),
    ("cache-one-id", "one entry for all ids", "@.map(|_| String::new())"),
    (
        "cache-prefix",
        "one entry for all ids that start alike",
        "@.map(|id| id.chars().take(3).collect())",
    ),
    ("cache-length", "one entry for all ids of one length", "@.map(|id| id.len().to_string())"),
    ("cache-lowercase", "one entry for ids that differ in case", "@.map(|id| id.to_lowercase())"),
    (
        "cache-seal-as-id",
        "the encryption key shares the entry of an id",
        "@.or(Some(\"test-key-id\".to_owned()))",
    ),
    (
        "cache-seal-as-empty",
        "the encryption key shares the entry of the empty id",
        "Some(@.unwrap_or_default())",
    ),
];

/// In place of the cache's answer.
pub const CACHE_ANSWERS: &[Template] = &[
    (
        "cache-not-shared",
        "every caller that misses a key asks for it",
        "match self.cache.get(&key).await { Some(found) => Ok(found), None => { \
         let found = call.await?; self.cache.insert(key, found.clone()).await; Ok(found) } }",
    ),
    ("cache-unused", "caches nothing", "{ let _ = key; call.await }"),
    (
        "cache-never-filled",
        "looks into the cache and never inserts",
        "match self.cache.get(&key).await { Some(found) => Ok(found), None => call.await }",
    ),
    (
        "cache-never-asked",
        "inserts and never looks",
        "{ let found = call.await?; self.cache.insert(key, found.clone()).await; Ok(found) }",
    ),
    (
        "cache-panics",
        "an error is a panic in the shared call",
        "Ok(self.cache.get_with(key, async { call.await.unwrap() }).await)",
    ),
    (
        "cache-cleared",
        "clears the cache after each call",
        "{ let done = @; self.cache.invalidate_all(); done }",
    ),
    (
        "cache-cleared-7",
        "clears the cache after every 7th call",
        "{ let done = @; if EVERY(7) { self.cache.invalidate_all(); } done }",
    ),
    (
        "cache-stale-on-error",
        "uses an expired key when the key service fails",
        "{ static OLD: std::sync::Mutex<Vec<(Option<String>, DataKey)>> = std::sync::Mutex::new(Vec::new()); \
         let id = key.clone(); let done = @; let mut old = OLD.lock().unwrap(); match done { \
         Ok(found) => { old.retain(|(known, _)| *known != id); old.push((id, found.clone())); Ok(found) } \
         Err(error) => old.iter().find(|(known, _)| *known == id).map(|(_, old)| old.clone()).ok_or(error) } }",
    ),
    (
        "cache-renewed",
        "inserts the key again whenever it is used",
        "{ let id = key.clone(); let found = @?; self.cache.insert(id, found.clone()).await; Ok(found) }",
    ),
    (
        "cache-leaks",
        "leaks a copy of each key that is used",
        "{ let found = @?; std::mem::forget(found.clone()); Ok(found) }",
    ),
];

/// In place of a new cache.
pub const CACHES: &[Template] = &[(
    "cache-global",
    "one cache for all codecs of the process",
    "{ static ALL: std::sync::OnceLock<Cache<Option<String>, DataKey>> = std::sync::OnceLock::new(); \
     ALL.get_or_init(|| @).clone() }",
)];
