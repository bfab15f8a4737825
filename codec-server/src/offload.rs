//! Work that takes long enough to hold up others goes to another thread.

use tokio::task::spawn_blocking;

use crate::refusal::{Kind, Refusal};

/// JSON of this size, in bytes, takes about a millisecond. That is what a thread of the runtime may be held.
const LARGE: usize = 128 * 1024;

/// Does some work on JSON of that size: at once if it is small, and otherwise on a thread for blocking work. The
/// runtime's own threads continue to serve all connections meanwhile.
///
/// # Errors
/// When the work panics on its own thread.
pub(crate) async fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    match size < LARGE {
        true => Ok(work()),
        false => spawn_blocking(work)
            .await
            .map_err(|_| Refusal::new(Kind::NotPayloads, "the work on its JSON panicked")),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn only_what_is_large_goes_to_another_thread() {
        let here = thread::current().id();
        assert_eq!(offload(LARGE - 1, || thread::current().id()).await.unwrap(), here);
        assert_ne!(offload(LARGE, || thread::current().id()).await.unwrap(), here);
    }

    #[tokio::test]
    async fn a_panic_is_a_refusal() {
        let refused = offload(LARGE, || panic!("a test of work that panics")).await;
        assert!(refused.is_err());
    }
}
