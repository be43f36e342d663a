//! `rota.accounts.v1.InternalService`.

use rota_proto::accounts::v1::{
    BootstrapRequest, BootstrapResponse, CreateTenantRequest, CreateTenantUserRequest,
    CreateUserRequest, CreateUserResponse, ListTenantsRequest, ListTenantsResponse,
    ResolveTenantTokenRequest, ResolveTenantTokenResponse, SetTenantSuspendedRequest, Tenant,
    internal_service_server::InternalService,
};
use rota_runtime::to_status;
use rota_types::{MAX_PER_PAGE, Page, Permission};
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::{
    Accounts,
    error::Error,
    model::{TenantName, TenantToken},
};

#[tonic::async_trait]
impl InternalService for Accounts {
    async fn resolve_tenant_token(
        &self,
        request: Request<ResolveTenantTokenRequest>,
    ) -> Result<Response<ResolveTenantTokenResponse>, Status> {
        permitted(&request, Permission::Internal)?;
        let token = TenantToken::from_text(request.into_inner().tenant_token);
        let resolved = self.resolve(&token).await.map_err(to_status)?;
        Ok(Response::new(ResolveTenantTokenResponse {
            tenant_id: resolved.tenant.to_string(),
            suspended: resolved.suspended,
            defaulted: resolved.defaulted,
            device_epoch: resolved.device_epoch,
        }))
    }

    async fn bootstrap(
        &self,
        request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapResponse>, Status> {
        permitted(&request, Permission::Internal)?;
        let BootstrapRequest { admin_email, admin_password } = request.into_inner();
        let first =
            CreateUserRequest { email: admin_email, password: admin_password, roles: Vec::new() };
        let first = convert::new_person(first).map_err(to_status)?;
        let (tenant, created) = Accounts::bootstrap(self, first).await.map_err(to_status)?;
        Ok(Response::new(BootstrapResponse { tenant_id: tenant.to_string(), created }))
    }

    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<Tenant>, Status> {
        permitted(&request, Permission::Internal)?;
        let name = TenantName::parse(&request.get_ref().name).map_err(Error::from);
        let name = name.map_err(to_status)?;
        let tenant = Accounts::create_tenant(self, &name).await.map_err(to_status)?;
        Ok(Response::new(tenant.into()))
    }

    async fn create_tenant_user(
        &self,
        request: Request<CreateTenantUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        permitted(&request, Permission::Internal)?;
        let CreateTenantUserRequest { tenant_id, user } = request.into_inner();
        let tenant = convert::tenant_id(&tenant_id).map_err(to_status)?;
        let tenant = self.existing_tenant(tenant).await.map_err(to_status)?;
        let new = convert::new_person(user.unwrap_or_default()).map_err(to_status)?;
        let id = self.add_user(tenant.id, new).await.map_err(to_status)?;
        Ok(Response::new(CreateUserResponse { id: id.to_string() }))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        permitted(&request, Permission::Internal)?;
        let ListTenantsRequest { page, per_page } = *request.get_ref();
        let page = Page::new(page, per_page, MAX_PER_PAGE).map_err(Error::from);
        let tenants = self.tenants(page.map_err(to_status)?).await.map_err(to_status)?;
        let tenants = tenants.into_iter().map(Tenant::from).collect();
        Ok(Response::new(ListTenantsResponse { tenants }))
    }

    async fn set_tenant_suspended(
        &self,
        request: Request<SetTenantSuspendedRequest>,
    ) -> Result<Response<Tenant>, Status> {
        permitted(&request, Permission::Internal)?;
        let SetTenantSuspendedRequest { tenant_id, suspended } = request.get_ref();
        let id = convert::tenant_id(tenant_id).map_err(to_status)?;
        let tenant = self.set_suspended(id, *suspended).await.map_err(to_status)?;
        Ok(Response::new(tenant.into()))
    }
}
