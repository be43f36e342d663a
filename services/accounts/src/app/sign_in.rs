//! People sign in and out.

use rota_auth::{Person, UserClaims};
use rota_types::{Actor, Caller};
use secrecy::SecretString;

use crate::{
    Accounts,
    error::Error,
    model::{Email, permissions},
    store::{Credentials, NewSession},
};

/// How long a sign-in shall hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// As long as is set.
    AsSet,
    /// Until it is ended.
    Forever,
}

impl Accounts {
    /// Gives a token to whom the address and the password belong. That the address is unknown
    /// takes as long to say as that the password is wrong.
    pub(crate) async fn login(
        &self,
        email: &str,
        password: SecretString,
        lasting: Lasting,
    ) -> Result<String, Error> {
        let email = Email::parse(email);
        let found = match &email {
            Ok(email) => self.0.store.credentials(email).await?,
            Err(_) => None,
        };
        let stored = found.as_ref().map(|found| found.password_hash.clone());
        let proven = self.0.passwords.verify(password, stored).await?;
        match (proven, found, email) {
            (true, Some(found), Ok(email)) => self.begin(&found, email, lasting).await,
            _ => Err(Error::Unauthorized),
        }
    }

    async fn begin(
        &self,
        person: &Credentials,
        email: Email,
        lasting: Lasting,
    ) -> Result<String, Error> {
        if person.suspended {
            return Err(Error::Suspended);
        }
        let signing = self.0.trust.signing()?;
        let now = self.0.clock.now();
        let lifetime = match lasting {
            Lasting::AsSet => Some(self.0.config.token_lifetime()),
            Lasting::Forever => None,
        };
        let expires = lifetime.map(|lifetime| now + lifetime);
        let begun = self.0.store.begin_session(person, &NewSession { now, expires }).await?;
        let session = begun.ok_or(Error::Unauthorized)?;
        let holder = Person {
            tenant: person.tenant,
            user: person.user,
            email: email.as_str().to_owned(),
            permissions: permissions(&person.roles),
            epoch: u64::try_from(session.epoch).unwrap_or_default(),
        };
        tracing::info!(tenant = %person.tenant, user = %person.user, session = %session.id, "signed in");
        Ok(signing.mint_user(&UserClaims::new(session.id, holder, now, lifetime)))
    }

    /// Ends the sign-in that calls.
    pub(crate) async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        let Actor::User { session, .. } = caller.actor else { return Err(Error::Forbidden) };
        self.0.store.end_session(caller.tenant, session).await
    }
}
