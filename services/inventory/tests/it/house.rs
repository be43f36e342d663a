//! A service with a database of its own, and the words to speak to it with.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rota_inventory::{Config, Deps, Inventory, SCHEMA};
use rota_proto::inventory::v1::{
    self as pb, device_service_client::DeviceServiceClient,
    internal_service_client::InternalServiceClient,
    management_service_client::ManagementServiceClient,
};
use rota_runtime::{Failure, FixedClock, Rpc, Service, rpc, with_caller};
use rota_testkit::TestDatabase;
use rota_types::{
    Actor, AuthSetId, Caller, DeviceId, ErrorCode, Permission, SessionId, TenantId, UserId,
};
use tonic::{Request, Response, Status};

/// Saturday, 21 November 2026, noon.
pub(crate) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_262_400, 0).unwrap()
}

pub(crate) struct House {
    pub(crate) database: TestDatabase,
    pub(crate) clock: FixedClock,
    rpc: Rpc,
}

/// One tenant's view of the house.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    rpc: Rpc,
}

impl House {
    pub(crate) async fn build() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let database = TestDatabase::new(&[&SCHEMA]).await;
        let clock = FixedClock::at(noon());
        let db = database.connect(&SCHEMA).await;
        let service = Inventory::new(config, Deps { db, clock: Arc::new(clock.clone()) });
        Self { database, clock, rpc: rpc::in_process("inventory", service.routes()) }
    }

    pub(crate) fn tenant(&self) -> Tenant {
        Tenant { id: TenantId::mint(), rpc: self.rpc.clone() }
    }

    /// How many rows a table has, past every wall.
    pub(crate) async fn rows(&self, table: &'static str) -> i64 {
        let count = format!("select count(*) from inventory.{table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&mut self.database.owner().await)
            .await
            .unwrap()
    }
}

/// An answer, or the kind of failure.
pub(crate) type Answer<T> = Result<T, ErrorCode>;

fn answer<T>(result: Result<Response<T>, Status>) -> Answer<T> {
    result.map(Response::into_inner).map_err(|status| Failure::from(status).code)
}

impl Tenant {
    fn caller(&self, actor: Actor, permission: Permission) -> Caller {
        Caller {
            tenant: self.id,
            actor,
            permissions: vec![permission],
            expires: Utc::now() + TimeDelta::minutes(5),
            request_id: "test".to_owned(),
            address: None,
        }
    }

    /// A request of a person who may do everything.
    pub(crate) fn person<T>(&self, message: T) -> Request<T> {
        let actor = Actor::User {
            id: UserId::mint(),
            session: SessionId::mint(),
            email: "a@example.com".to_owned(),
        };
        with_caller(Request::new(message), &self.caller(actor, Permission::Manage))
    }

    fn service<T>(&self, message: T) -> Request<T> {
        let actor = Actor::Service { name: "workflows".to_owned() };
        with_caller(Request::new(message), &self.caller(actor, Permission::Internal))
    }

    pub(crate) fn device<T>(&self, id: DeviceId, message: T) -> Request<T> {
        let actor = Actor::Device { id, auth_set: AuthSetId::mint() };
        with_caller(Request::new(message), &self.caller(actor, Permission::Device))
    }

    pub(crate) fn devices(&self) -> DeviceServiceClient<Rpc> {
        DeviceServiceClient::new(self.rpc.clone())
    }

    pub(crate) fn management(&self) -> ManagementServiceClient<Rpc> {
        ManagementServiceClient::new(self.rpc.clone())
    }

    pub(crate) fn internal(&self) -> InternalServiceClient<Rpc> {
        InternalServiceClient::new(self.rpc.clone())
    }

    pub(crate) async fn replace(
        &self,
        device: DeviceId,
        attributes: Vec<pb::Attribute>,
    ) -> Answer<()> {
        let request = self.device(device, pb::DeviceAttributesRequest { attributes });
        answer(self.devices().replace_attributes(request).await).map(|_| ())
    }

    pub(crate) async fn merge(
        &self,
        device: DeviceId,
        attributes: Vec<pb::Attribute>,
    ) -> Answer<()> {
        let request = self.device(device, pb::DeviceAttributesRequest { attributes });
        answer(self.devices().merge_attributes(request).await).map(|_| ())
    }

    pub(crate) async fn provision(
        &self,
        device: DeviceId,
        status: &str,
        revision: i64,
    ) -> Answer<()> {
        self.provision_as(device, status, revision, r#"{"mac":"00:01"}"#).await
    }

    pub(crate) async fn provision_as(
        &self,
        device: DeviceId,
        status: &str,
        revision: i64,
        identity: &str,
    ) -> Answer<()> {
        let request = self.service(pb::ProvisionDeviceRequest {
            device_id: device.to_string(),
            status: status.to_owned(),
            identity_data: identity.to_owned(),
            revision,
            created: Some(rota_proto::to_timestamp(noon().timestamp() - 3600, 0)),
            check_in: None,
        });
        answer(self.internal().provision_device(request).await).map(|_| ())
    }

    /// A new device that was accepted.
    pub(crate) async fn accepted(&self) -> DeviceId {
        let id = DeviceId::mint();
        self.provision(id, "accepted", 1).await.unwrap();
        id
    }

    pub(crate) async fn delete(&self, device: DeviceId) -> Answer<()> {
        let request = self.service(pb::DeleteDeviceRequest { device_id: device.to_string() });
        answer(self.internal().delete_device(request).await).map(|_| ())
    }

    pub(crate) async fn get(&self, device: DeviceId) -> Answer<pb::Device> {
        let request = self.person(pb::GetDeviceRequest { id: device.to_string() });
        answer(self.management().get_device(request).await)
    }

    pub(crate) async fn clear(&self, device: DeviceId) -> Answer<()> {
        let request = self.person(pb::ClearInventoryRequest { id: device.to_string() });
        answer(self.management().clear_inventory(request).await).map(|_| ())
    }

    pub(crate) async fn replace_tags(
        &self,
        device: DeviceId,
        tags: Vec<pb::Attribute>,
        if_match: Option<String>,
    ) -> Answer<()> {
        let device_id = device.to_string();
        let request = self.person(pb::TagsRequest { device_id, tags, if_match });
        answer(self.management().replace_tags(request).await).map(|_| ())
    }

    pub(crate) async fn merge_tags(
        &self,
        device: DeviceId,
        tags: Vec<pb::Attribute>,
        if_match: Option<String>,
    ) -> Answer<()> {
        let device_id = device.to_string();
        let request = self.person(pb::TagsRequest { device_id, tags, if_match });
        answer(self.management().merge_tags(request).await).map(|_| ())
    }

    pub(crate) async fn set_group(&self, device: DeviceId, group: &str) -> Answer<()> {
        let (device_id, group) = (device.to_string(), group.to_owned());
        let request = self.person(pb::SetDeviceGroupRequest { device_id, group });
        answer(self.management().set_device_group(request).await).map(|_| ())
    }

    pub(crate) async fn clear_group(&self, device: DeviceId, group: &str) -> Answer<()> {
        let (device_id, group) = (device.to_string(), group.to_owned());
        let request = self.person(pb::ClearDeviceGroupRequest { device_id, group });
        answer(self.management().clear_device_group(request).await).map(|_| ())
    }

    pub(crate) async fn group_of(&self, device: DeviceId) -> Answer<Option<String>> {
        let request = self.person(pb::GetDeviceGroupRequest { device_id: device.to_string() });
        answer(self.management().get_device_group(request).await).map(|answer| answer.group)
    }

    pub(crate) async fn groups(&self, status: Option<&str>) -> Answer<Vec<String>> {
        let status = status.map(ToOwned::to_owned);
        let request = self.person(pb::ListGroupsRequest { status });
        answer(self.management().list_groups(request).await).map(|answer| answer.groups)
    }

    pub(crate) async fn members(
        &self,
        group: &str,
        page: u32,
        per_page: u32,
    ) -> Answer<(Vec<String>, i64)> {
        let group = group.to_owned();
        let request = self.person(pb::ListGroupDevicesRequest { group, page, per_page });
        let answer = answer(self.management().list_group_devices(request).await)?;
        Ok((answer.ids, answer.total))
    }

    pub(crate) async fn add_to_group(
        &self,
        group: &str,
        device_ids: Vec<String>,
    ) -> Answer<pb::UpdatedCount> {
        let group = group.to_owned();
        let request = self.person(pb::GroupMembersRequest { group, device_ids });
        answer(self.management().add_to_group(request).await)
    }

    pub(crate) async fn remove_from_group(
        &self,
        group: &str,
        device_ids: Vec<String>,
    ) -> Answer<pb::UpdatedCount> {
        let group = group.to_owned();
        let request = self.person(pb::GroupMembersRequest { group, device_ids });
        answer(self.management().remove_from_group(request).await)
    }

    pub(crate) async fn dissolve(&self, group: &str) -> Answer<pb::UpdatedCount> {
        let request = self.person(pb::DissolveGroupRequest { group: group.to_owned() });
        answer(self.management().dissolve_group(request).await)
    }

    pub(crate) async fn search(&self, search: pb::SearchRequest) -> Answer<(Vec<String>, i64)> {
        let found = self.search_devices(search).await?;
        Ok((found.devices.into_iter().map(|device| device.id).collect(), found.total))
    }

    pub(crate) async fn search_devices(
        &self,
        search: pb::SearchRequest,
    ) -> Answer<pb::SearchResponse> {
        let request = self.person(search);
        answer(self.management().search(request).await)
    }

    pub(crate) async fn filter_attributes(&self) -> Vec<(i32, String, i64)> {
        let request = self.person(pb::ListFilterAttributesRequest {});
        let answer = self.management().list_filter_attributes(request).await.unwrap();
        let attributes = answer.into_inner().attributes.into_iter();
        attributes.map(|one| (one.scope, one.name, one.count)).collect()
    }

    pub(crate) async fn statistics(&self) -> Vec<(String, i64)> {
        let request = self.person(pb::GetStatisticsRequest {});
        let answer = self.management().get_statistics(request).await.unwrap().into_inner();
        let mut by_status: Vec<_> = answer.by_status.into_iter().collect();
        by_status.sort();
        by_status
    }

    /// The batches of a stream of targets.
    pub(crate) async fn targets(
        &self,
        request: pb::StreamTargetsRequest,
    ) -> Answer<Vec<Vec<String>>> {
        let request = self.service(request);
        let mut stream = answer(self.internal().stream_targets(request).await)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.message().await.unwrap() {
            batches.push(batch.device_ids);
        }
        Ok(batches)
    }
}

/// A page of a search for everything.
pub(crate) fn all(page: u32, per_page: u32) -> pb::SearchRequest {
    pb::SearchRequest { page, per_page, ..pb::SearchRequest::default() }
}

pub(crate) fn text(text: &str) -> pb::Value {
    pb::Value { kind: Some(pb::value::Kind::Text(text.to_owned())) }
}

pub(crate) fn number(number: f64) -> pb::Value {
    pb::Value { kind: Some(pb::value::Kind::Number(number)) }
}

pub(crate) fn texts(values: &[&str]) -> pb::Value {
    let values = values.iter().map(|&text| text.to_owned()).collect();
    pb::Value { kind: Some(pb::value::Kind::Texts(pb::TextList { values })) }
}

pub(crate) fn numbers(values: &[f64]) -> pb::Value {
    let values = values.to_vec();
    pb::Value { kind: Some(pb::value::Kind::Numbers(pb::NumberList { values })) }
}

pub(crate) fn flag(flag: bool) -> pb::Value {
    pb::Value { kind: Some(pb::value::Kind::Flag(flag)) }
}

pub(crate) fn attribute(name: &str, value: pb::Value) -> pb::Attribute {
    pb::Attribute { name: name.to_owned(), value: Some(value), ..pb::Attribute::default() }
}

/// A device's attributes as `scope/name=value`, without the times that every device has.
pub(crate) fn listed(device: &pb::Device) -> Vec<String> {
    let value = |value: &pb::Value| match value.kind.clone().unwrap() {
        pb::value::Kind::Text(text) => text,
        pb::value::Kind::Number(number) => number.to_string(),
        pb::value::Kind::Flag(flag) => flag.to_string(),
        pb::value::Kind::Texts(list) => format!("{:?}", list.values),
        pb::value::Kind::Numbers(list) => format!("{:?}", list.values),
    };
    let attributes = device.attributes.iter();
    attributes
        .filter(|one| !one.name.ends_with("_ts") && one.name != "check_in_time")
        .map(|one| {
            let scope = one.scope().as_str_name().trim_start_matches("SCOPE_").to_lowercase();
            format!("{scope}/{}={}", one.name, value(one.value.as_ref().unwrap()))
        })
        .collect()
}
