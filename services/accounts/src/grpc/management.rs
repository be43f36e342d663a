//! `rota.accounts.v1.ManagementService`.

use rota_proto::accounts::v1::{
    CreateUserRequest, CreateUserResponse, DeleteUserRequest, DeleteUserResponse,
    GetOwnTenantRequest, GetSelfRequest, GetUserRequest, ListUsersRequest, ListUsersResponse,
    LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, Tenant, UpdateSelfRequest,
    UpdateSelfResponse, UpdateUserRequest, UpdateUserResponse, User,
    management_service_server::ManagementService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use secrecy::SecretString;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::{Accounts, app::Lasting};

#[tonic::async_trait]
impl ManagementService for Accounts {
    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        // Whoever it is: the proof is in the request.
        rota_runtime::caller(&request)?;
        let LoginRequest { email, password, no_expiry } = request.into_inner();
        let lasting = if no_expiry { Lasting::Forever } else { Lasting::AsSet };
        let password = SecretString::from(password);
        let token = Accounts::login(self, &email, password, lasting).await.map_err(to_status)?;
        Ok(Response::new(LoginResponse { token }))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        let caller = rota_runtime::caller(&request)?;
        Accounts::logout(self, &caller).await.map_err(to_status)?;
        Ok(Response::new(LogoutResponse {}))
    }

    async fn get_self(&self, request: Request<GetSelfRequest>) -> Result<Response<User>, Status> {
        let caller = rota_runtime::caller(&request)?;
        let user = self.own_user(&caller).await.map_err(to_status)?;
        Ok(Response::new(user.into()))
    }

    async fn update_self(
        &self,
        request: Request<UpdateSelfRequest>,
    ) -> Result<Response<UpdateSelfResponse>, Status> {
        let caller = rota_runtime::caller(&request)?;
        let edit = convert::self_edit(request.into_inner()).map_err(to_status)?;
        self.edit_self(&caller, edit).await.map_err(to_status)?;
        Ok(Response::new(UpdateSelfResponse {}))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let filter = convert::user_filter(request.get_ref()).map_err(to_status)?;
        let users = self.users(&caller, &filter).await.map_err(to_status)?;
        let users = users.into_iter().map(User::from).collect();
        Ok(Response::new(ListUsersResponse { users }))
    }

    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let new = convert::new_person(request.into_inner()).map_err(to_status)?;
        let id = self.add_user(caller.tenant, new).await.map_err(to_status)?;
        Ok(Response::new(CreateUserResponse { id: id.to_string() }))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let id = convert::user_id(&request.get_ref().id).map_err(to_status)?;
        let user = self.user(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(user.into()))
    }

    async fn update_user(
        &self,
        request: Request<UpdateUserRequest>,
    ) -> Result<Response<UpdateUserResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let (id, edit) = convert::user_edit(request.into_inner()).map_err(to_status)?;
        self.edit_user(&caller, id, edit).await.map_err(to_status)?;
        Ok(Response::new(UpdateUserResponse {}))
    }

    async fn delete_user(
        &self,
        request: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        // Who cannot exist is gone already.
        if let Ok(id) = request.get_ref().id.parse() {
            self.remove_user(&caller, id).await.map_err(to_status)?;
        }
        Ok(Response::new(DeleteUserResponse {}))
    }

    async fn get_own_tenant(
        &self,
        request: Request<GetOwnTenantRequest>,
    ) -> Result<Response<Tenant>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let tenant = self.own_tenant(&caller).await.map_err(to_status)?;
        Ok(Response::new(tenant.into()))
    }
}
