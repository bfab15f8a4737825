//! A port for a test to name. It is a file by itself, so that the tests of other packages can have it.

use std::{
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Below the ports that the system gives to whatever asks for any (on Linux from 32768 on): a dev server asks for
/// several, and took one between its choice and its use.
const PORTS: Range<u16> = 15_000..32_000;

/// A port that is free. No two tests of a program get the same one.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Programs that run at the same time begin at different ports.
        let number = process::id().wrapping_mul(251).wrapping_add(TAKEN.fetch_add(1, Relaxed));
        let port = PORTS.start + (number % PORTS.len() as u32) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
