//! What goes wrong with the key service in the middle of a run.

use std::{convert::Infallible, future, time::Duration};

use clap::{Args, ValueEnum};
use cli_kit::exit::Failure;
use greeting::{args::some_seconds, keys::LocalKeyService};
use key_service::Faults;
use serde::Serialize;
use tokio::time::sleep;

use super::{progress::Onlooker, scenario::Scenario};

/// When it starts, after the load: by then every codec is at work.
const AFTER: Duration = Duration::from_secs(2);
/// Calls a second that a service answers which throttles: fewer than any load here makes.
const THROTTLE: u32 = 10;
/// The share of answers that a reset cuts. With two retries, one call in eight still fails.
const RESETS: f64 = 0.5;

/// A fault of the key service, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// It refuses connections
    Outage,
    /// It answers ten calls a second, and throttles the others
    Throttle,
    /// It resets every second connection in the middle of an answer
    Reset,
    /// It takes calls and never answers
    Hang,
}

impl FaultKind {
    /// What is added to the service's other faults.
    fn over(self, faults: Faults) -> Faults {
        match self {
            Self::Outage => Faults { refuse: true, ..faults },
            Self::Throttle => Faults { throttle_per_second: Some(THROTTLE), ..faults },
            Self::Reset => Faults { reset_rate: RESETS, ..faults },
            Self::Hang => Faults { hang_rate: 1.0, ..faults },
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::Outage => "refuses connections",
            Self::Throttle => "answers 10 calls a second and throttles the others",
            Self::Reset => "resets every second connection",
            Self::Hang => "does not answer",
        }
    }
}

/// The flags for a fault.
#[derive(Clone, Copy, Debug, Args)]
pub struct FaultArgs {
    /// Have the key service fail while the load runs, from its third second on
    #[arg(long, value_name = "FAULT", value_enum)]
    fault: Option<FaultKind>,
    /// How long that lasts, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = some_seconds, requires = "fault")]
    fault_seconds: f64,
}

impl FaultArgs {
    /// The fault that was asked for. The run may take that much longer.
    pub fn fault(&self, scenario: &mut Scenario) -> Option<Fault> {
        let kind = self.fault?;
        scenario.limit_seconds += self.fault_seconds;
        Some(Fault { kind, seconds: self.fault_seconds })
    }
}

/// A fault of the key service, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fault {
    pub kind: FaultKind,
    pub seconds: f64,
}

impl Fault {
    /// When the service has recovered, in seconds after the load's start.
    pub fn is_over_at(self) -> f64 {
        AFTER.as_secs_f64() + self.seconds
    }

    /// In one sentence without its full stop.
    pub fn description(self) -> String {
        let from = AFTER.as_secs_f64();
        format!("The key service {} from {from} s to {} s", self.kind.says(), self.is_over_at())
    }

    /// The fault, and the key service that is to have it.
    ///
    /// # Errors
    /// When this program has not started one.
    pub fn of(
        self,
        service: Option<&LocalKeyService>,
    ) -> Result<(Self, &LocalKeyService), Failure> {
        service.map(|service| (self, service)).ok_or_else(|| {
            Failure::usage(
                "--fault needs the key service that this command starts: leave out \
                 --key-service simulated, and unset CODEC_KEYS if its keys are wrapped by another \
                 service",
            )
        })
    }

    /// Waits, has the service fail, and lets it recover. Never ends, so that the load does.
    ///
    /// # Errors
    /// When the service refuses.
    pub async fn befall(
        self,
        service: &LocalKeyService,
        onlooker: &dyn Onlooker,
    ) -> anyhow::Result<Infallible> {
        let usual = service.server().faults();
        sleep(AFTER).await;
        service.server().set_faults(self.kind.over(usual.clone()))?;
        onlooker.say(&format!("The key service {} for {} s.", self.kind.says(), self.seconds));
        sleep(Duration::from_secs_f64(self.seconds)).await;
        service.server().set_faults(usual)?;
        onlooker.say("The key service works again.");
        future::pending().await
    }
}
