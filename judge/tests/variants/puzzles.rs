//! The puzzles of `exercises/find-the-fault/`: the files themselves, so what is shown is what is judged.

use codec_kit::AnyCodec;
use judge::promises::{
    ANSWERS_PROMPTLY, LETS_KEYS_EXPIRE, PAYLOADS, RELEASES_IT_ALWAYS, RELEASES_THREAD,
    SHARES_CALLS, STALLS_TOGETHER, WAITS_FOR_KEY, WIRE_FORMAT,
};
use solutions::Step;

use crate::{Variant, Verdict::Wrong};

#[path = "../../../exercises/find-the-fault/8.rs"]
mod eight;
#[path = "../../../exercises/find-the-fault/5.rs"]
mod five;
#[path = "../../../exercises/find-the-fault/4.rs"]
mod four;
#[path = "../../../exercises/find-the-fault/1.rs"]
mod one;
#[path = "../../../exercises/find-the-fault/7.rs"]
mod seven;
#[path = "../../../exercises/find-the-fault/6.rs"]
mod six;
#[path = "../../../exercises/find-the-fault/3.rs"]
mod three;
#[path = "../../../exercises/find-the-fault/2.rs"]
mod two;

pub(crate) fn variants() -> Vec<Variant> {
    vec![
        Variant {
            name: "puzzle 1",
            make: |keys| AnyCodec::new(one::codec(keys)),
            expected: vec![(Step::SpawnBlocking, Wrong(&[WAITS_FOR_KEY]))],
        },
        Variant {
            name: "puzzle 2",
            make: |keys| AnyCodec::new(two::codec(keys)),
            expected: vec![(Step::SpawnBlocking, Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS]))],
        },
        Variant {
            name: "puzzle 3",
            make: |keys| AnyCodec::new(three::codec(keys)),
            expected: vec![(Step::SpawnBlocking, Wrong(&[WIRE_FORMAT, ANSWERS_PROMPTLY]))],
        },
        Variant {
            name: "puzzle 4",
            make: |keys| AnyCodec::new(four::codec(keys)),
            expected: vec![(Step::Async, Wrong(&[PAYLOADS]))],
        },
        Variant {
            name: "puzzle 5",
            make: |keys| AnyCodec::new(five::codec(keys)),
            expected: vec![(Step::Async, Wrong(&[PAYLOADS]))],
        },
        Variant {
            name: "puzzle 6",
            make: |keys| AnyCodec::new(six::codec(keys)),
            expected: vec![(Step::Async, Wrong(&[STALLS_TOGETHER]))],
        },
        Variant {
            name: "puzzle 7",
            make: |keys| AnyCodec::new(seven::codec(keys)),
            expected: vec![(Step::BeyondAsync, Wrong(&[SHARES_CALLS]))],
        },
        Variant {
            name: "puzzle 8",
            make: |keys| AnyCodec::new(eight::codec(keys)),
            expected: vec![(Step::BeyondAsync, Wrong(&[LETS_KEYS_EXPIRE]))],
        },
    ]
}
