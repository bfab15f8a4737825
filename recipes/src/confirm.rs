//! Confirm that it blocks, and is not merely slow.

use codec_kit::CallFigures;

/// The share of the time in calls for which they held their thread: about 1 if the codec blocks, about 0 if it awaits.
pub fn share_blocked(calls: &CallFigures) -> f64 {
    calls.poll_total.as_secs_f64() / calls.wall_total.as_secs_f64()
}
