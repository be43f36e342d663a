//! Exit codes that mean something.

use std::process::ExitCode;

use crate::api::ApiError;

/// Something went wrong.
const FAILED: u8 = 1;
/// The deployment that was watched ended, and not every device succeeded.
const DEVICES_FAILED: u8 = 3;
/// Nobody is signed in, or the server does not believe the token any more.
const NOT_SIGNED_IN: u8 = 4;
/// The server could not be reached, or asked to come again later.
const UNREACHABLE: u8 = 5;

/// The codes as `--help` shows them; 2 is what a mistake on the command line gives.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  the watched deployment ended and not every device succeeded
  4  not signed in
  5  the server cannot be reached or is busy; try again";

/// The code for an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = match error.downcast_ref::<ApiError>() {
        Some(ApiError::NotSignedIn) => NOT_SIGNED_IN,
        Some(ApiError::Unreachable { .. } | ApiError::Busy { .. }) => UNREACHABLE,
        _ => FAILED,
    };
    ExitCode::from(code)
}

/// The code for a watched deployment's end.
pub(crate) fn watched(all_succeeded: bool) -> ExitCode {
    if all_succeeded { ExitCode::SUCCESS } else { ExitCode::from(DEVICES_FAILED) }
}
