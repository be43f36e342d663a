//! `rota.deviceauth.v1.DeviceService`.

use rota_proto::deviceauth::v1::{
    AuthenticateRequest, AuthenticateResponse, device_service_server::DeviceService,
};
use rota_runtime::to_status;
use tonic::{Request, Response, Status};

use crate::DeviceAuth;

#[tonic::async_trait]
impl DeviceService for DeviceAuth {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        // Whoever it is: the proof is in the request.
        let caller = rota_runtime::caller(&request)?;
        let AuthenticateRequest { body, signature } = request.into_inner();
        let token =
            DeviceAuth::authenticate(self, &caller, &body, &signature).await.map_err(to_status)?;
        Ok(Response::new(AuthenticateResponse { token }))
    }
}
