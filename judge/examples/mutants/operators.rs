//! Finds all single mutations of a codec's source. They are changes to its text, found in its syntax
//! tree, so that a mutant keeps the layout of the original and its diff is short.

use std::{collections::BTreeMap, ops::Range};

use syn::{
    Block, Expr, ExprAsync, ExprAwait, ExprCall, ExprForLoop, ExprMethodCall, ExprTry, FnArg,
    Ident, ImplItemFn, ItemFn, ItemImpl, LitInt, Pat, Stmt, TypePath,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    edit::Edit,
    templates::{
        self, ALL, AWAITS, CACHE_ANSWERS, CACHE_KEYS, CACHES, CONSTRUCTIONS, ENTRIES, ERRORS,
        FUTURES, PAYLOADS, POOL, RESULTS, STARTS, TIMES,
    },
};

/// One change to a codec.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// What kind of change it is.
    pub operator: String,
    /// The function that is changed, and which of the operator's places in it, counted from 1.
    pub place: String,
    /// What it does, in plain words.
    pub says: String,
    /// The change.
    pub edits: Vec<Edit>,
}

/// All single mutations, in the order of the source.
pub fn mutations(source: &str) -> syn::Result<Vec<Mutation>> {
    let file = syn::parse_file(source)?;
    let mut finder = Finder {
        source,
        found: Vec::new(),
        places: BTreeMap::new(),
        function: "file".to_owned(),
        context: Vec::new(),
    };
    finder.visit_file(&file);
    Ok(finder.found)
}

struct Finder<'s> {
    source: &'s str,
    found: Vec<Mutation>,
    /// How many places an operator has had in a function.
    places: BTreeMap<(String, String), usize>,
    /// The function around what is visited.
    function: String,
    /// What makes `elsewhere` known in that function: whether a context was given.
    context: Vec<Edit>,
}

/// The bytes of a piece of the source.
fn at(piece: &impl Spanned) -> Range<usize> {
    piece.span().byte_range()
}

fn replace(at: Range<usize>, text: impl Into<String>) -> Edit {
    Edit { at, text: text.into() }
}

fn insert(at: usize, text: impl Into<String>) -> Edit {
    replace(at..at, text)
}

impl Finder<'_> {
    fn text(&self, piece: &impl Spanned) -> &str {
        &self.source[at(piece)]
    }

    fn add(&mut self, operator: &str, says: &str, edits: Vec<Edit>) {
        let function = self.function.clone();
        let place = self.places.entry((operator.to_owned(), function.clone())).or_default();
        *place += 1;
        self.found.push(Mutation {
            operator: operator.to_owned(),
            place: format!("{function}-{place}"),
            says: format!("{function}: {says}"),
            edits,
        });
    }

    /// Replaces `whole` with each of the templates, in which `@` stands for `piece`.
    fn add_all(
        &mut self,
        list: &[templates::Template],
        whole: &Range<usize>,
        piece: &Range<usize>,
    ) {
        for (operator, says, template) in list {
            // Elsewhere there are none.
            if template.contains("payloads") && !self.is_of_the_trait() {
                continue;
            }
            let (template, mut edits) = self.expand(template);
            edits.extend(match template.split('@').collect::<Vec<_>>()[..] {
                // The piece stays where it is: another mutation may change it.
                [before, after] => vec![
                    replace(whole.start..piece.start, before),
                    replace(piece.end..whole.end, after),
                ],
                _ => {
                    let text = template.replace('@', &self.source[piece.clone()]);
                    vec![replace(whole.clone(), text)]
                }
            });
            self.add(operator, says, edits);
        }
    }

    /// Inserts each of the templates.
    fn insert_all(&mut self, list: &[templates::Template], at: usize) {
        for (operator, says, template) in list {
            let (text, mut edits) = self.expand(template);
            edits.push(insert(at, format!(" {text}")));
            self.add(operator, says, edits);
        }
    }

    /// Writes out the conditions of a template; with the changes elsewhere that these need.
    fn expand(&self, template: &str) -> (String, Vec<Edit>) {
        let mut text = template.to_owned();
        for every in [7, 150] {
            let condition = format!(
                "({{ use std::sync::atomic::{{AtomicUsize, Ordering}}; \
                 static CALLS: AtomicUsize = AtomicUsize::new(1); \
                 CALLS.fetch_add(1, Ordering::Relaxed) % {every} == 0 }})"
            );
            text = text.replace(&format!("EVERY({every})"), &condition);
        }
        let edits = if text.contains("CONTEXT") { self.context.clone() } else { Vec::new() };
        (text.replace("CONTEXT", "elsewhere"), edits)
    }

    fn is_of_the_trait(&self) -> bool {
        ["encode", "decode"].contains(&self.function.as_str())
    }

    fn function(&mut self, name: &Ident, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.function, name.to_string());
        visit(self);
        self.function = outer;
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_impl(&mut self, node: &'ast ItemImpl) {
        let named = |name: &str| {
            node.items.iter().find_map(|item| match item {
                syn::ImplItem::Fn(function) if function.sig.ident == name => {
                    Some(at(&function.sig.ident))
                }
                _ => None,
            })
        };
        if let (Some(encode), Some(decode)) = (named("encode"), named("decode")) {
            let edits = vec![replace(encode, "decode"), replace(decode, "encode")];
            self.add("swap-operations", "encode and decode are exchanged", edits);
        }
        visit::visit_item_impl(self, node);
    }

    fn visit_item_fn(&mut self, node: &'ast ItemFn) {
        self.function(&node.sig.ident, |this| {
            if node.sig.ident == "codec" {
                this.insert_all(CONSTRUCTIONS, node.block.brace_token.span.open().byte_range().end);
            }
            visit::visit_item_fn(this, node);
        });
    }

    fn visit_impl_item_fn(&mut self, node: &'ast ImplItemFn) {
        self.function(&node.sig.ident, |this| {
            let start = node.block.brace_token.span.open().byte_range().end;
            this.context = node
                .sig
                .inputs
                .iter()
                .filter_map(|input| match input {
                    FnArg::Typed(typed) => match &*typed.pat {
                        Pat::Wild(wild) => Some(at(wild)),
                        _ => None,
                    },
                    FnArg::Receiver(_) => None,
                })
                .flat_map(|at| {
                    let known = " let elsewhere = *context != SerializationContextData::None;";
                    [replace(at, "context"), insert(start, known)]
                })
                .collect();
            if this.is_of_the_trait() {
                this.insert_all(ENTRIES, start);
            }
            visit::visit_impl_item_fn(this, node);
            this.context.clear();
        });
    }

    fn visit_expr_async(&mut self, node: &'ast ExprAsync) {
        if self.is_of_the_trait() {
            self.insert_all(STARTS, node.block.brace_token.span.open().byte_range().end);
        }
        visit::visit_expr_async(self, node);
    }

    fn visit_expr_try(&mut self, node: &'ast ExprTry) {
        self.add_all(ERRORS, &at(node), &at(&*node.expr));
        visit::visit_expr_try(self, node);
    }

    fn visit_expr_await(&mut self, node: &'ast ExprAwait) {
        self.add_all(AWAITS, &at(node), &at(&*node.base));
        if let Expr::MethodCall(call) = &*node.base
            && let Some(twin) = twin(&call.method)
        {
            let edits = vec![
                replace(at(&call.method), twin),
                replace(at(&*node.base).end..at(node).end, ""),
            ];
            self.add("blocking-call", "asks for the key with the blocking call", edits);
        }
        visit::visit_expr_await(self, node);
    }

    fn visit_expr_for_loop(&mut self, node: &'ast ExprForLoop) {
        let list = at(&*node.expr);
        let end = node.body.brace_token.span.close().byte_range().start;
        let start = node.body.brace_token.span.open().byte_range().end;
        let (pattern, body) = (self.text(&node.pat).to_owned(), self.text(&node.body).to_owned());
        for (operator, says, edits) in [
            ("loop-once", "ends after the first", vec![insert(end, "break; ")]),
            ("loop-skips-first", "skips the first", vec![insert(list.end, ".into_iter().skip(1)")]),
            ("loop-skips-last", "skips the last of several", {
                let list = self.text(&*node.expr);
                let text = format!(
                    "{{ let all: Vec<_> = {list}.into_iter().collect(); \
                     let most = all.len().max(2) - 1; all.into_iter().take(most) }}"
                );
                vec![replace(at(&*node.expr), text)]
            }),
            ("loop-takes-2", "takes at most two", vec![insert(list.end, ".into_iter().take(2)")]),
            ("loop-reversed", "goes backwards", vec![insert(list.end, ".into_iter().rev()")]),
            (
                "loop-twice",
                "does each twice",
                vec![insert(start, format!(" {{ let {pattern} = {pattern}.clone(); {body} }}"))],
            ),
        ] {
            self.add(operator, says, edits);
        }
        visit::visit_expr_for_loop(self, node);
    }

    fn visit_expr_call(&mut self, node: &'ast ExprCall) {
        let whole = at(node);
        let arguments: Vec<_> = node.args.iter().map(at).collect();
        match (self.text(&*node.func).to_owned().as_str(), &arguments[..]) {
            ("codec_future", [work]) => self.add_all(FUTURES, &whole, work),
            ("spawn_blocking", [work]) => self.add_all(POOL, &whole, work),
            (function @ ("seal_all" | "open_all"), [keys, payloads]) => {
                self.add_all(PAYLOADS, payloads, payloads);
                self.add_all(RESULTS, &whole, &whole);
                for (operator, says, template) in ALL {
                    let keys = &self.source[keys.clone()];
                    let text = template.replace('%', function).replace('#', keys);
                    self.add(operator, says, vec![replace(whole.clone(), text)]);
                }
            }
            ("Observed::new", [codec]) => self.observed(&whole, codec),
            ("Some", [_]) => {
                self.add("some-none", "asks the cache for no id", vec![replace(whole, "None")]);
            }
            _ => {}
        }
        if let [first, second, ..] = &arguments[..] {
            let edits = vec![
                replace(first.clone(), &self.source[second.clone()]),
                replace(second.clone(), &self.source[first.clone()]),
            ];
            self.add("swap-arguments", "two arguments are exchanged", edits);
        }
        visit::visit_expr_call(self, node);
    }

    fn visit_expr_method_call(&mut self, node: &'ast ExprMethodCall) {
        let whole = at(node);
        let arguments: Vec<_> = node.args.iter().map(at).collect();
        let method = node.method.to_string();
        self.add(
            "drop-call",
            &format!("`{method}` is not called"),
            vec![replace(at(&*node.receiver).end..whole.end, "")],
        );
        match (method.as_str(), &arguments[..]) {
            ("data_key_blocking" | "data_key_by_id_blocking", _) => {
                let name = method.trim_end_matches("_blocking").to_owned();
                let edits = vec![replace(at(&node.method), name), insert(whole.end, ".await")];
                self.add("async-call", "asks for the key with the async call", edits);
            }
            ("data_key" | "data_key_by_id", _) => {
                let receiver = self.text(&*node.receiver);
                let call = &self.source[at(&node.method).end..whole.end];
                let blocking = format!("{receiver}.{method}_blocking{call}");
                let inside = format!("async {{ {blocking} }}");
                let before = format!("std::future::ready({blocking})");
                let says = "asks with the blocking call inside a future";
                self.add("blocking-inside", says, vec![replace(whole.clone(), inside)]);
                let says = "asks with the blocking call before it has a future";
                self.add("blocking-before", says, vec![replace(whole.clone(), before)]);
            }
            ("max_capacity", [capacity]) => {
                for size in ["0", "1", "2", "5", "100_000"] {
                    let says = format!("the cache has room for {size} keys");
                    self.add("capacity", &says, vec![replace(capacity.clone(), size)]);
                }
            }
            ("time_to_live", [time]) => {
                let edits = vec![replace(at(&node.method), "time_to_idle")];
                self.add("time-to-idle", "a key lives for as long as it is used", edits);
                self.add_all(TIMES, time, time);
            }
            ("at_hand_or", [id, _]) if self.text(&node.args[0]) == "None" => {
                let edits = vec![replace(id.clone(), "Some(\"test-key-id\".to_owned())")];
                self.add("none-some", "asks the cache for an id", edits);
            }
            ("try_get_with", [key, _]) => self.add_all(CACHE_KEYS, key, key),
            ("map_err", _) if self.text(node).contains("try_get_with") => self.cache(&whole),
            ("build", _) if self.text(node).starts_with("Cache::") => {
                self.add_all(CACHES, &whole, &whole);
            }
            ("clone", _) if self.text(node) == "self.keys.clone()" => {
                let edits = vec![replace(whole.clone(), "CachedKeys::new(self.keys.keys.clone())")];
                self.add("cache-for-each-call", "each call has a cache of its own", edits);
            }
            _ => {}
        }
        if let Some(id) = method.strip_prefix("data_key_by_id")
            && let [asked] = &arguments[..]
        {
            let edits = vec![
                replace(at(&node.method), format!("data_key{id}")),
                replace(asked.clone(), ""),
            ];
            self.add("active-key", "asks for the encryption key, whatever id is named", edits);
            for (operator, says, wrong) in [
                ("id-trimmed", "leaves out white space around an id", "trim()"),
                ("id-lowercase", "asks for the id in lower case", "to_lowercase()"),
                (
                    "id-cut",
                    "asks for the first 64 bytes of an id",
                    "chars().take(64).collect::<String>()",
                ),
            ] {
                let id = self.source[asked.clone()].trim_start_matches('&');
                let edits = vec![replace(asked.clone(), format!("&{id}.{wrong}"))];
                self.add(operator, says, edits);
            }
        } else if let Some(id) = method.strip_prefix("data_key") {
            let fixed = format!("data_key_by_id{id}(\"test-key-id\")");
            let edits = vec![replace(at(&node.method).start..whole.end, fixed)];
            self.add("fixed-key", "asks for the key of a fixed id", edits);
        }
        visit::visit_expr_method_call(self, node);
    }

    fn visit_lit_int(&mut self, node: &'ast LitInt) {
        if let Ok(number) = node.base10_parse::<u64>() {
            for (operator, other) in
                [("integer-plus-1", number + 1), ("integer-minus-1", number.saturating_sub(1))]
            {
                let says = format!("{number} is {other}");
                self.add(operator, &says, vec![replace(at(node), other.to_string())]);
            }
        }
    }

    fn visit_block(&mut self, node: &'ast Block) {
        for statement in &node.stmts {
            self.add("drop-statement", "a statement is left out", vec![replace(at(statement), "")]);
            let ends = matches!(statement, Stmt::Expr(_, None));
            if !ends {
                let again = format!(" {}", self.text(statement));
                let edits = vec![insert(at(statement).end, again)];
                self.add("repeat-statement", "a statement is made twice", edits);
            }
        }
        visit::visit_block(self, node);
    }

    fn visit_type_path(&mut self, node: &'ast TypePath) {
        // The cache's type: with errors in it, they are cached.
        if self.function == "file" && self.text(node) == "Cache<Option<String>, DataKey>" {
            let body = "self.cache.try_get_with(key, call).await.map_err(Arc::unwrap_or_clone)";
            if let Some(start) = self.source.find(body) {
                let cache = "Cache<Option<String>, Result<DataKey, KeyServiceError>>";
                let answer = "self.cache.get_with(key, call).await";
                let edits =
                    vec![replace(at(node), cache), replace(start..start + body.len(), answer)];
                self.add("cache-errors", "errors are cached as well", edits);
            }
        }
        visit::visit_type_path(self, node);
    }
}

impl Finder<'_> {
    /// Less than both operations observed once.
    fn observed(&mut self, whole: &Range<usize>, codec: &Range<usize>) {
        let inner = self.source[codec.clone()].to_owned();
        let unwrapped =
            vec![replace(whole.start..codec.start, ""), replace(codec.end..whole.end, "")];
        self.add("unobserved", "nothing is observed", unwrapped);
        let doubled = vec![insert(codec.start, "Observed::new("), insert(codec.end, ")")];
        self.add("observed-twice", "each call is observed twice", doubled);
        for (operator, says, encoder, decoder) in [
            ("observed-encode", "only encoding is observed", "0", "1"),
            ("observed-decode", "only decoding is observed", "1", "0"),
        ] {
            let first = format!("{{ let keys = keys.clone(); {inner} }}");
            let text = format!("Half(Observed::new({first}), {inner})");
            let half = format!(
                "\nstruct Half<A, B>(A, B);\n\
                 impl<A: PayloadCodec, B: PayloadCodec> PayloadCodec for Half<A, B> {{\n    \
                 fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture \
                 {{ self.{encoder}.encode(context, payloads) }}\n    \
                 fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture \
                 {{ self.{decoder}.decode(context, payloads) }}\n}}\n"
            );
            let edits = vec![replace(whole.clone(), text), insert(self.source.len(), half)];
            self.add(operator, says, edits);
        }
    }

    /// Another answer than the cache's.
    fn cache(&mut self, whole: &Range<usize>) {
        self.add_all(CACHE_ANSWERS, whole, whole);
    }
}

/// The call that blocks the thread for the same key.
fn twin(method: &Ident) -> Option<&'static str> {
    match method.to_string().as_str() {
        "data_key" => Some("data_key_blocking"),
        "data_key_by_id" => Some("data_key_by_id_blocking"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::apply;

    const SNIPPET: &str = "impl PayloadCodec for E {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        codec_future(async move {
            let key = keys.data_key().await?;
            seal_all(&key, payloads)
        })
    }
}
";

    /// The mutant of that operator, at that place.
    fn mutant(source: &str, operator: &str, place: &str) -> String {
        let all = mutations(source).unwrap();
        let found = all.iter().find(|one| one.operator == operator && one.place == place);
        apply(source, &found.expect("there is such a mutation").edits)
    }

    #[test]
    fn an_operator_changes_its_piece_and_nothing_else() {
        for (operator, place, old, new) in [
            ("error-panics", "encode-1", ".await?", ".await.unwrap()"),
            ("blocking-call", "encode-1", "data_key().await", "data_key_blocking()"),
            ("drop-await", "encode-1", "data_key().await?", "data_key()?"),
            ("swap-arguments", "encode-1", "(&key, payloads)", "(payloads, &key)"),
            ("reverse", "encode-1", "payloads)\n", "payloads.into_iter().rev().collect())\n"),
            ("drop-call", "encode-2", "keys.data_key()", "keys"),
            ("drop-statement", "encode-3", "let key = keys.data_key().await?;", ""),
        ] {
            assert_eq!(mutant(SNIPPET, operator, place), SNIPPET.replace(old, new), "{operator}");
        }
    }

    #[test]
    fn a_context_has_a_name_where_a_mutation_asks_for_it() {
        let text = mutant(SNIPPET, "context-unchanged", "encode-1");
        assert!(text.contains("context: &SerializationContextData"), "{text}");
        assert!(text.contains("if elsewhere { return Ok(payloads); }"), "{text}");
    }

    #[test]
    fn every_mutant_is_rust_and_has_a_place_of_its_own() {
        let mut ids = std::collections::BTreeSet::new();
        for Mutation { operator, place, edits, .. } in mutations(SNIPPET).unwrap() {
            assert!(ids.insert((operator.clone(), place)), "{operator}");
            // A piece that is left out or exchanged may leave something that is no Rust.
            if !operator.starts_with("drop-") {
                syn::parse_file(&apply(SNIPPET, &edits)).expect(&operator);
            }
        }
        assert!(ids.len() > 80, "only {}", ids.len());
    }

    #[test]
    fn an_integer_a_loop_and_a_blocking_call_are_found() {
        let source = "fn f() { for id in ids { keep(keys.data_key_by_id_blocking(&id)?, 7); } }";
        let all = mutations(source).unwrap();
        for operator in ["integer-plus-1", "loop-once", "async-call", "active-key", "id-trimmed"] {
            assert!(all.iter().any(|one| one.operator == operator), "{operator}");
        }
        assert!(mutant(source, "active-key", "f-1").contains("keys.data_key_blocking()?"));
    }
}
