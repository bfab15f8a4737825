//! The parts of Temporal's API that are asked for, with the numbers of their fields. Others are skipped when
//! read.

/// A message of which no field matters.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Empty {}

/// Asks for a task queue.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DescribeTaskQueueRequest {
    /// The namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// The task queue.
    #[prost(message, optional, tag = "2")]
    pub task_queue: Option<TaskQueue>,
    /// 1: workflow tasks, 2: activities.
    #[prost(int32, tag = "3")]
    pub task_queue_type: i32,
    /// Whether to report its backlog.
    #[prost(bool, tag = "8")]
    pub report_stats: bool,
}

/// A task queue.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskQueue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// What the server knows of a task queue.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DescribeTaskQueueResponse {
    /// Who polled in the last minutes.
    #[prost(message, repeated, tag = "1")]
    pub pollers: Vec<Empty>,
    /// Its backlog; servers before 1.25 leave it out.
    #[prost(message, optional, tag = "5")]
    pub stats: Option<TaskQueueStats>,
}

/// The backlog of a task queue.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskQueueStats {
    /// Tasks that wait.
    #[prost(int64, tag = "1")]
    pub approximate_backlog_count: i64,
    /// How long the oldest of them has waited.
    #[prost(message, optional, tag = "2")]
    pub approximate_backlog_age: Option<Length>,
    /// Tasks that came in a second.
    #[prost(float, tag = "3")]
    pub tasks_add_rate: f32,
    /// Tasks that went to workers in a second.
    #[prost(float, tag = "4")]
    pub tasks_dispatch_rate: f32,
}

/// A length of time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Length {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest, in nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}
