//! What every handler can reach: settings, services, limits.

use std::{ops::Deref, sync::Arc};

use rota_proto::{
    accounts::v1::management_service_client::ManagementServiceClient as Accounts,
    deployments::v1::{
        artifact_service_client::ArtifactServiceClient as Artifacts,
        device_service_client::DeviceServiceClient as DeviceDeployments,
        management_service_client::ManagementServiceClient as Deployments,
    },
    deviceauth::v1::{
        device_service_client::DeviceServiceClient as Authentication,
        management_service_client::ManagementServiceClient as Devices,
    },
    inventory::v1::{
        device_service_client::DeviceServiceClient as DeviceInventory,
        management_service_client::ManagementServiceClient as Inventory,
    },
};
use rota_runtime::{Clock, Rpc};
use tokio::sync::Semaphore;

use crate::{
    config::Config, device::downloads::Downloads, extract::Awaited, limits::AddressLimits,
    trust::Trust,
};

/// The largest answer of a service, in bytes: the lists that Mender gives in one piece hold up
/// to 10,000 rows, and a deployment's device list every id.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Transports to the services behind the gateway.
#[derive(Clone)]
pub struct Clients {
    /// Devices, their auth sets and tokens.
    pub deviceauth: Rpc,
    /// Attributes, groups and tags.
    pub inventory: Rpc,
    /// Artifacts, releases and deployments.
    pub deployments: Rpc,
    /// Tenants and people.
    pub accounts: Rpc,
}

/// The state of the gateway. Clones share the same.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) limits: AddressLimits,
    /// One for each request under way.
    pub(crate) places: Semaphore,
    /// One of those for each body that is waited for.
    pub(crate) awaited: Awaited,
    /// One for each upload or download under way.
    pub(crate) transfers: Arc<Semaphore>,
    pub(crate) downloads: Downloads,
    clients: Clients,
}

impl App {
    pub(crate) fn new(config: Config, clients: Clients, clock: Arc<dyn Clock>) -> Self {
        let trust = Trust::new(clients.deviceauth.clone(), clients.accounts.clone());
        Self(Arc::new(Inner {
            clock,
            trust: Arc::new(trust),
            limits: AddressLimits::new(&config),
            places: Semaphore::new(config.max_requests.get().min(Semaphore::MAX_PERMITS)),
            awaited: Awaited::new(config.max_requests),
            transfers: Arc::new(Semaphore::new(
                config.max_transfers.get().min(Semaphore::MAX_PERMITS),
            )),
            downloads: Downloads::new(),
            config,
            clients,
        }))
    }

    /// Devices asking for their token.
    pub(crate) fn authentication(&self) -> Authentication<Rpc> {
        Authentication::new(self.clients.deviceauth.clone())
    }

    /// Devices and their auth sets.
    pub(crate) fn devices(&self) -> Devices<Rpc> {
        Devices::new(self.clients.deviceauth.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Devices telling about themselves.
    pub(crate) fn device_inventory(&self) -> DeviceInventory<Rpc> {
        DeviceInventory::new(self.clients.inventory.clone())
    }

    /// What is known of devices.
    pub(crate) fn inventory(&self) -> Inventory<Rpc> {
        Inventory::new(self.clients.inventory.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Devices asking for their deployment and reporting about it.
    pub(crate) fn device_deployments(&self) -> DeviceDeployments<Rpc> {
        DeviceDeployments::new(self.clients.deployments.clone())
    }

    /// Artifacts and releases.
    pub(crate) fn artifacts(&self) -> Artifacts<Rpc> {
        Artifacts::new(self.clients.deployments.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Deployments.
    pub(crate) fn deployments(&self) -> Deployments<Rpc> {
        Deployments::new(self.clients.deployments.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// People and their tenant.
    pub(crate) fn accounts(&self) -> Accounts<Rpc> {
        Accounts::new(self.clients.accounts.clone())
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl AsRef<AddressLimits> for App {
    fn as_ref(&self) -> &AddressLimits {
        &self.limits
    }
}
