//! The settings that findings name, as each SDK calls them, with their defaults.

use clap::ValueEnum;

use crate::family::Family;

/// A Temporal SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sdk {
    /// Python
    Python,
    /// TypeScript
    Typescript,
    /// .NET
    Dotnet,
    /// Ruby
    Ruby,
    /// Rust
    Rust,
    /// Go
    Go,
    /// Java
    Java,
}

impl Sdk {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Typescript => "TypeScript",
            Self::Dotnet => ".NET",
            Self::Ruby => "Ruby",
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Java => "Java",
        }
    }
}

/// A setting of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Workflow tasks at a time.
    WorkflowSlots,
    /// Activities at a time.
    ActivitySlots,
    /// Polls for workflow tasks in flight.
    WorkflowPollers,
    /// Polls for activities in flight.
    ActivityPollers,
    /// Workflows in the sticky cache.
    Cache,
}

impl Setting {
    /// Its name and default in an SDK.
    pub fn of(self, sdk: Sdk) -> (&'static str, &'static str) {
        use Sdk::{Dotnet, Go, Java, Python, Ruby, Rust, Typescript};
        use Setting::{ActivityPollers, ActivitySlots, Cache, WorkflowPollers, WorkflowSlots};
        match (self, sdk) {
            (WorkflowSlots, Python) => ("max_concurrent_workflow_tasks", "100"),
            (WorkflowSlots, Typescript) => ("maxConcurrentWorkflowTaskExecutions", "40"),
            (WorkflowSlots, Dotnet) => ("MaxConcurrentWorkflowTasks", "100"),
            (WorkflowSlots, Ruby) => ("the tuner's workflow_slots", "100"),
            (WorkflowSlots, Rust) => ("the tuner's workflow slots", "100"),
            (WorkflowSlots, Go) => ("MaxConcurrentWorkflowTaskExecutionSize", "1000"),
            (WorkflowSlots, Java) => ("setMaxConcurrentWorkflowTaskExecutionSize", "200"),
            (ActivitySlots, Python) => ("max_concurrent_activities", "100"),
            (ActivitySlots, Typescript) => ("maxConcurrentActivityTaskExecutions", "100"),
            (ActivitySlots, Dotnet) => ("MaxConcurrentActivities", "100"),
            (ActivitySlots, Ruby) => ("the tuner's activity_slots", "100"),
            (ActivitySlots, Rust) => ("the tuner's activity slots", "100"),
            (ActivitySlots, Go) => ("MaxConcurrentActivityExecutionSize", "1000"),
            (ActivitySlots, Java) => ("setMaxConcurrentActivityExecutionSize", "200"),
            (WorkflowPollers, Python) => {
                ("max_concurrent_workflow_task_polls", "5, of which 1 is for new workflows")
            }
            (WorkflowPollers, Typescript) => ("maxConcurrentWorkflowTaskPolls", "10"),
            (WorkflowPollers, Dotnet) => ("MaxConcurrentWorkflowTaskPolls", "5"),
            (WorkflowPollers, Ruby) => ("workflow_task_poller_behavior", "5"),
            (WorkflowPollers, Rust) => ("workflow_task_poller_behavior", "5"),
            (WorkflowPollers, Go) => ("MaxConcurrentWorkflowTaskPollers", "2"),
            (WorkflowPollers, Java) => ("setMaxConcurrentWorkflowTaskPollers", "5"),
            (ActivityPollers, Python) => ("max_concurrent_activity_task_polls", "5"),
            (ActivityPollers, Typescript) => ("maxConcurrentActivityTaskPolls", "10"),
            (ActivityPollers, Dotnet) => ("MaxConcurrentActivityTaskPolls", "5"),
            (ActivityPollers, Ruby) => ("activity_task_poller_behavior", "5"),
            (ActivityPollers, Rust) => ("activity_task_poller_behavior", "5"),
            (ActivityPollers, Go) => ("MaxConcurrentActivityTaskPollers", "2"),
            (ActivityPollers, Java) => ("setMaxConcurrentActivityTaskPollers", "5"),
            (Cache, Python) => ("max_cached_workflows", "1000"),
            (Cache, Typescript) => ("maxCachedWorkflows", "by memory"),
            (Cache, Dotnet) => ("MaxCachedWorkflows", "10000"),
            (Cache, Ruby) => ("max_cached_workflows", "1000"),
            (Cache, Rust) => ("max_cached_workflows", "1000"),
            (Cache, Go) => ("worker.SetStickyWorkflowCacheSize", "10000"),
            (Cache, Java) => ("WorkerFactoryOptions.setWorkflowCacheSize", "600"),
        }
    }

    /// How it is called in the SDK, or in each SDK that a page may come from.
    pub fn named(self, family: Family, sdk: Option<Sdk>) -> String {
        let in_sdk = |sdk: Sdk| {
            let (name, default) = self.of(sdk);
            format!("{name} in {} (default {default})", sdk.name())
        };
        match (sdk, family) {
            (Some(sdk), _) => in_sdk(sdk),
            (None, Family::GoTally | Family::GoOtel) => in_sdk(Sdk::Go),
            (None, Family::Java) => in_sdk(Sdk::Java),
            (None, Family::Core) => {
                let sdks = [Sdk::Python, Sdk::Typescript, Sdk::Dotnet];
                sdks.map(in_sdk).join(", ")
            }
        }
    }
}
