//! People look after their own accounts, and managers after the others'.

use rota_types::{Actor, Caller, SessionId, TenantId, UserId};
use secrecy::SecretString;

use crate::{
    Accounts,
    error::Error,
    model::{Email, Role, User, UserFilter, fit},
    store::{Edit, NewUser},
};

/// A person who is to be added.
#[derive(Debug)]
pub(crate) struct NewPerson {
    pub(crate) email: Email,
    pub(crate) password: SecretString,
    pub(crate) roles: Vec<Role>,
}

/// What is to be changed of a person.
#[derive(Debug, Default)]
pub(crate) struct UserEdit {
    pub(crate) email: Option<Email>,
    pub(crate) password: Option<SecretString>,
    /// Proves that it is the person who changes their own address or password.
    pub(crate) current_password: Option<SecretString>,
    pub(crate) roles: Option<Vec<Role>>,
}

impl Accounts {
    /// The person who calls.
    pub(crate) async fn own_user(&self, caller: &Caller) -> Result<User, Error> {
        let (id, _) = person(caller)?;
        self.user(caller, id).await
    }

    pub(crate) async fn user(&self, caller: &Caller, id: UserId) -> Result<User, Error> {
        self.0.store.user(caller.tenant, id).await?.ok_or(Error::UserNotFound)
    }

    pub(crate) async fn users(
        &self,
        caller: &Caller,
        filter: &UserFilter,
    ) -> Result<Vec<User>, Error> {
        self.0.store.users(caller.tenant, filter).await
    }

    /// Adds a person to a tenant.
    pub(crate) async fn add_user(&self, tenant: TenantId, new: NewPerson) -> Result<UserId, Error> {
        let new = self.prepare(tenant, new).await?;
        self.0.store.add_user(&new).await?;
        tracing::info!(%tenant, user = %new.user.id, "person added");
        Ok(new.user.id)
    }

    /// A new person with their password hashed.
    pub(super) async fn prepare(&self, tenant: TenantId, new: NewPerson) -> Result<NewUser, Error> {
        let NewPerson { email, password, roles } = new;
        fit(&password, &email)?;
        let password_hash = self.0.changes.hash(password).await?;
        let now = self.0.clock.now();
        let id = UserId::mint();
        let user = User { tenant, id, email, roles, created: now, updated: now, last_login: None };
        Ok(NewUser { user, password_hash })
    }

    /// Changes the person who calls. Roles are for others to give.
    pub(crate) async fn edit_self(&self, caller: &Caller, edit: UserEdit) -> Result<(), Error> {
        let (id, session) = person(caller)?;
        let edit = UserEdit { roles: None, ..edit };
        self.edit(caller.tenant, id, edit, Some(session)).await
    }

    /// Changes any person of the tenant; a password only one's own.
    pub(crate) async fn edit_user(
        &self,
        caller: &Caller,
        id: UserId,
        edit: UserEdit,
    ) -> Result<(), Error> {
        match caller.actor {
            Actor::User { id: own, session, .. } if own == id => {
                self.edit(caller.tenant, id, edit, Some(session)).await
            }
            _ if edit.password.is_some() => Err(Error::PasswordOfAnother),
            _ => self.write(caller.tenant, id, edit, None).await,
        }
    }

    pub(crate) async fn remove_user(&self, caller: &Caller, id: UserId) -> Result<(), Error> {
        self.0.store.remove_user(caller.tenant, id).await?;
        tracing::info!(tenant = %caller.tenant, user = %id, "person removed");
        Ok(())
    }

    /// A person's own change: a new address or password needs the present password.
    async fn edit(
        &self,
        tenant: TenantId,
        id: UserId,
        mut edit: UserEdit,
        session: Option<SessionId>,
    ) -> Result<(), Error> {
        if edit.email.is_some() || edit.password.is_some() {
            let current = edit.current_password.take().ok_or(Error::CurrentPassword)?;
            self.0.attempts.count(id)?;
            let stored = self.0.store.password_hash(tenant, id).await?;
            let stored = stored.ok_or(Error::UserNotFound)?;
            if !self.0.changes.verify(current, Some(stored)).await? {
                return Err(Error::CurrentPassword);
            }
        }
        // New roles come with the next sign-in, so that this one must end, too.
        let kept = session.filter(|_| edit.roles.is_none());
        self.write(tenant, id, edit, kept).await
    }

    async fn write(
        &self,
        tenant: TenantId,
        id: UserId,
        edit: UserEdit,
        kept: Option<SessionId>,
    ) -> Result<(), Error> {
        let UserEdit { email, password, roles, .. } = edit;
        if email.is_none() && password.is_none() && roles.is_none() {
            return self.0.store.user(tenant, id).await?.map(drop).ok_or(Error::UserNotFound);
        }
        let password_hash = match password {
            None => None,
            Some(password) => {
                let present = self.0.store.user(tenant, id).await?.ok_or(Error::UserNotFound)?;
                fit(&password, email.as_ref().unwrap_or(&present.email))?;
                Some(self.0.changes.hash(password).await?)
            }
        };
        let edit = Edit { email, password_hash, roles, kept };
        self.0.store.edit_user(tenant, id, &edit, self.0.clock.now()).await
    }
}

/// The person who calls, and with which sign-in.
fn person(caller: &Caller) -> Result<(UserId, SessionId), Error> {
    match caller.actor {
        Actor::User { id, session, .. } => Ok((id, session)),
        _ => Err(Error::Forbidden),
    }
}
