//! Which passwords are worth hashing.

use secrecy::{ExposeSecret, SecretString};

use super::Email;

/// The shortest and the longest password, in characters (server API, users).
const MIN_LENGTH: usize = 8;
const MAX_LENGTH: usize = 256;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("password: must have at least {MIN_LENGTH} characters")]
    TooShort,
    #[error("password: must have at most {MAX_LENGTH} characters")]
    TooLong,
    #[error("password: must not resemble the e-mail address")]
    LikeEmail,
}

/// Whether `password` may be that of the person with this address.
pub(crate) fn fit(password: &SecretString, email: &Email) -> Result<(), Unfit> {
    let password = password.expose_secret();
    let length = password.chars().count();
    if length < MIN_LENGTH {
        return Err(Unfit::TooShort);
    }
    if length > MAX_LENGTH {
        return Err(Unfit::TooLong);
    }
    let folded = password.to_lowercase();
    let local = email.local_part();
    let contains_name = local.len() >= MIN_LENGTH && folded.contains(local);
    if email.as_str().contains(&folded) || folded.contains(email.as_str()) || contains_name {
        return Err(Unfit::LikeEmail);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(password: &str) -> Result<(), Unfit> {
        fit(&SecretString::from(password), &Email::parse("annabella@example.com").unwrap())
    }

    #[test]
    fn short_long_and_telltale_passwords_are_refused() {
        assert_eq!(judge("1234567"), Err(Unfit::TooShort));
        assert_eq!(judge(&"x".repeat(257)), Err(Unfit::TooLong));
        assert_eq!(judge("Annabella@Example.com"), Err(Unfit::LikeEmail));
        assert_eq!(judge("annabella"), Err(Unfit::LikeEmail));
        assert_eq!(judge("annabella1"), Err(Unfit::LikeEmail));
        assert_eq!(judge("example.com"), Err(Unfit::LikeEmail));
        assert_eq!(judge("correct horse"), Ok(()));
        // Eight characters, though fewer than eight letters of the alphabet we know.
        assert_eq!(judge("пароль12"), Ok(()));
    }
}
