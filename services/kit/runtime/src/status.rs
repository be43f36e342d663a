//! Errors on the wire: a service's [`Coded`] error as a gRPC status, and back.
//!
//! The status carries a `google.rpc.ErrorInfo` with the code's name as reason, the domain
//! `rota` and the error's metadata. What is our fault is logged here, once, with its causes;
//! the caller learns nothing but that it was.

use std::{collections::HashMap, error::Error, fmt};

use rota_types::{Coded, ErrorCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "rota";

/// The metadata entry that says after how many whole seconds to come again.
const RETRY_AFTER: &str = "retry_after_seconds";

/// Turns a service's error into the status its caller gets.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err, which hands the error over")]
pub fn to_status<E: Coded>(error: E) -> Status {
    let code = error.code();
    if code == ErrorCode::Internal {
        tracing::error!(error = %Chain(&error), "internal error");
    } else {
        tracing::debug!(code = code.name(), error = %Chain(&error), "request refused");
    }
    status(code, &error.public_message(), error.metadata())
}

fn status(code: ErrorCode, message: &str, metadata: Vec<(&'static str, String)>) -> Status {
    let metadata: HashMap<String, String> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let details = ErrorDetails::with_error_info(code.name(), DOMAIN, metadata);
    Status::with_error_details(grpc_code(code), message, details)
}

/// The one table from our codes to gRPC's, which are fewer.
fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::Invalid | ErrorCode::UnsupportedMedia => Code::InvalidArgument,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::Forbidden => Code::PermissionDenied,
        ErrorCode::NotFound | ErrorCode::Gone => Code::NotFound,
        ErrorCode::AlreadyExists => Code::AlreadyExists,
        ErrorCode::Conflict => Code::Aborted,
        ErrorCode::Precondition | ErrorCode::Unprocessable => Code::FailedPrecondition,
        ErrorCode::TooLarge => Code::OutOfRange,
        ErrorCode::TooMany => Code::ResourceExhausted,
        ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::Timeout => Code::DeadlineExceeded,
        ErrorCode::Internal => Code::Internal,
    }
}

/// For statuses that no service of ours made: those of the transport.
fn error_code(code: Code) -> ErrorCode {
    match code {
        Code::InvalidArgument => ErrorCode::Invalid,
        Code::Unauthenticated => ErrorCode::Unauthenticated,
        Code::PermissionDenied => ErrorCode::Forbidden,
        Code::NotFound => ErrorCode::NotFound,
        Code::AlreadyExists => ErrorCode::AlreadyExists,
        Code::Aborted => ErrorCode::Conflict,
        Code::FailedPrecondition => ErrorCode::Unprocessable,
        Code::OutOfRange => ErrorCode::TooLarge,
        Code::ResourceExhausted => ErrorCode::TooMany,
        Code::Unavailable | Code::Cancelled => ErrorCode::Unavailable,
        Code::DeadlineExceeded => ErrorCode::Timeout,
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            ErrorCode::Internal
        }
    }
}

/// What a call to another service came back with instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub code: ErrorCode,
    /// Words that may be shown to the caller.
    pub message: String,
    /// Facts for programs: `retry_after_seconds` and the like.
    pub metadata: HashMap<String, String>,
}

impl Failure {
    /// After how many seconds to come again, if the service said so.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.metadata.get(RETRY_AFTER)?.parse().ok()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        if let Some(info) = status.get_details_error_info()
            && info.domain == DOMAIN
            && let Ok(code) = info.reason.parse()
        {
            return Self { code, message: status.message().to_owned(), metadata: info.metadata };
        }
        let code = error_code(status.code());
        let message = match code {
            ErrorCode::Internal => {
                tracing::error!(status = %status, "a service answered with a fault of the transport");
                "internal error"
            }
            ErrorCode::Unavailable => "service unavailable",
            ErrorCode::Timeout => "the answer did not come in time",
            _ => status.message(),
        };
        Self { code, message: message.to_owned(), metadata: HashMap::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// A service may pass on what another one told it.
impl Coded for Failure {
    fn code(&self) -> ErrorCode {
        self.code
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        self.metadata
            .get(RETRY_AFTER)
            .map(|value| (RETRY_AFTER, value.clone()))
            .into_iter()
            .collect()
    }
}

/// An error with all its causes on one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the words of {0}")]
    struct Sample(ErrorCode, #[source] std::io::Error);

    impl Coded for Sample {
        fn code(&self) -> ErrorCode {
            self.0
        }

        fn metadata(&self) -> Vec<(&'static str, String)> {
            vec![(RETRY_AFTER, "7".to_owned())]
        }
    }

    fn sample(code: ErrorCode) -> Sample {
        Sample(code, std::io::Error::other("the secret cause"))
    }

    #[test]
    fn every_code_survives_the_wire_with_its_metadata() {
        for code in ErrorCode::ALL {
            let failure = Failure::from(to_status(sample(code)));
            assert_eq!(failure.code, code);
            assert_eq!(failure.retry_after_seconds(), Some(7));
            assert_eq!(failure.metadata(), vec![(RETRY_AFTER, "7".to_owned())]);
        }
    }

    #[test]
    fn causes_are_logged_and_not_told() {
        let status = to_status(sample(ErrorCode::Internal));
        assert_eq!(status.message(), "internal error");
        assert!(!format!("{status:?}").contains("secret"));
        let told = to_status(sample(ErrorCode::Conflict));
        assert_eq!(told.message(), "the words of CONFLICT");
    }

    #[test]
    fn faults_of_the_transport_are_not_the_callers() {
        let failure = Failure::from(Status::unknown("h2 protocol error: secret"));
        assert_eq!(
            (failure.code, failure.message.as_str()),
            (ErrorCode::Internal, "internal error")
        );
        assert_eq!(Failure::from(Status::unavailable("x")).code, ErrorCode::Unavailable);
        assert_eq!(Failure::from(Status::deadline_exceeded("x")).code, ErrorCode::Timeout);
    }

    #[test]
    fn the_chain_names_every_cause() {
        assert_eq!(
            Chain(&sample(ErrorCode::Gone)).to_string(),
            "the words of GONE: the secret cause"
        );
    }
}
