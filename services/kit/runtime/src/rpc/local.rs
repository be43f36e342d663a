//! Calls within this process: the same routes, no socket.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tonic::{body::Body, service::Routes};
use tower::Service as _;

use super::{
    Rpc, StdError,
    outbound::{Outbound, Transport},
};
use crate::{caller::Trust, server};

/// Marks a request that never left this process. It is an extension, which no wire carries,
/// and only this module can make one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InProcess(());

/// Calls `routes` directly. `service` names them in metrics and spans.
pub fn in_process(service: &'static str, routes: Routes) -> Rpc {
    let mesh = Mesh::default();
    mesh.fill(service, routes);
    mesh.rpc(service)
}

/// Services of one process that call each other, in whatever order they are made: a handle is
/// given out at once, the routes are filled in when the service exists. Clones share the same
/// mesh.
#[derive(Clone, Default)]
pub struct Mesh(Arc<Mutex<HashMap<&'static str, Local>>>);

impl Mesh {
    /// A transport to the service. Calls before [`Mesh::fill`] meet `UNAVAILABLE`.
    pub fn rpc(&self, service: &'static str) -> Rpc {
        Rpc::new(Outbound::new(service, Transport::Local(self.local(service))))
    }

    /// Says what answers calls to the service. The first filling counts.
    pub fn fill(&self, service: &'static str, routes: Routes) {
        let routes = server::guard(service, routes, Trust::InProcess).prepare();
        let _ = self.local(service).0.set(routes);
    }

    fn local(&self, service: &'static str) -> Local {
        let mut locals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locals.entry(service).or_default().clone()
    }
}

/// Routes that may be filled in later.
#[derive(Clone, Default)]
pub(super) struct Local(Arc<OnceLock<Routes>>);

impl Local {
    pub(super) async fn call(
        &self,
        mut request: http::Request<Body>,
    ) -> Result<http::Response<Body>, StdError> {
        let Some(routes) = self.0.get() else {
            let status = tonic::Status::unavailable("the service has not been started yet");
            return Ok(status.into_http());
        };
        request.extensions_mut().insert(InProcess(()));
        let response = routes.clone().call(request).await;
        response.map_err(|never| match never {})
    }
}
