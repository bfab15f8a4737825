//! Pages of this machine, read by HTTP.

use std::time::Duration;

use anyhow::Context;
use ureq::Agent;

/// Any program on this machine that is not stuck answers within this time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client for pages of this machine. It blocks, so async code has to call it in `spawn_blocking`.
#[derive(Clone, Debug)]
pub struct Http(Agent);

impl Default for Http {
    fn default() -> Self {
        // Requests to this machine must not go through a proxy.
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).proxy(None).build();
        Self(config.into())
    }
}

impl Http {
    /// The page at that address.
    ///
    /// # Errors
    /// When there is no answer in time, or its status is not 200.
    pub fn page(&self, url: &str) -> anyhow::Result<String> {
        let page = || anyhow::Ok(self.0.get(url).call()?.into_body().read_to_string()?);
        page().with_context(|| format!("no page from {url}"))
    }

    /// The date of an answer from that address, as HTTP writes it.
    ///
    /// # Errors
    /// As [`page`](Self::page), and when the answer has none.
    pub fn date(&self, url: &str) -> anyhow::Result<String> {
        let response = self.0.get(url).call()?;
        let date = response.headers().get("date").context("the answer has no date")?;
        Ok(date.to_str()?.to_owned())
    }
}
