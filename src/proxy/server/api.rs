//! Toxiproxy's HTTP API over the [`Registry`]: paths, methods, bodies, status codes.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::registry::{ApiError, ProxyInput, Registry, ToxicInput};

/// The version of Toxiproxy whose API this is, with ours as build metadata: clients compare versions.
const VERSION: &str = concat!("2.12.0+seaworthy.", env!("CARGO_PKG_VERSION"));

type Shared = State<Arc<Registry>>;

pub(super) fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/reset", post(reset))
        .route("/populate", post(populate))
        .route("/proxies", get(proxies).post(create))
        .route("/proxies/{proxy}", get(show).post(update).patch(update).delete(delete))
        .route("/proxies/{proxy}/toxics", get(toxics).post(add_toxic))
        .route(
            "/proxies/{proxy}/toxics/{toxic}",
            get(show_toxic).post(update_toxic).patch(update_toxic).delete(remove_toxic),
        )
        .layer(from_fn(no_browsers))
        .with_state(registry)
}

/// A web page must not be able to change proxies.
async fn no_browsers(request: Request, next: Next) -> Response {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    if agent.is_some_and(|agent| agent.starts_with("Mozilla/")) {
        return (StatusCode::FORBIDDEN, "User agent not allowed\n").into_response();
    }
    next.run(request).await
}

async fn version() -> Response {
    answer(StatusCode::OK, &json!({ "version": VERSION }))
}

async fn reset(State(registry): Shared) -> Result<StatusCode, ApiError> {
    registry.reset()?;
    Ok(StatusCode::NO_CONTENT)
}

async fn populate(State(registry): Shared, body: Bytes) -> Response {
    let (done, error) = match parse(&body) {
        Ok(inputs) => registry.populate(inputs).await,
        Err(e) => (Vec::new(), Some(e)),
    };
    let proxies: Vec<Value> = done.iter().map(|link| link.json()).collect();
    match error {
        None => answer(StatusCode::CREATED, &json!({ "proxies": proxies })),
        Some(e) => answer(status(&e), &json!({ "error": e.to_string(), "status": e.status(), "proxies": proxies })),
    }
}

async fn proxies(State(registry): Shared) -> Response {
    answer(StatusCode::OK, &registry.json())
}

async fn create(State(registry): Shared, body: Bytes) -> Result<Response, ApiError> {
    let link = registry.create(parse(&body)?).await?;
    Ok(answer(StatusCode::CREATED, &link.json()))
}

async fn show(State(registry): Shared, Path(proxy): Path<String>) -> Result<Response, ApiError> {
    Ok(answer(StatusCode::OK, &registry.get(&proxy)?.json()))
}

async fn update(State(registry): Shared, Path(proxy): Path<String>, body: Bytes) -> Result<Response, ApiError> {
    registry.get(&proxy)?;
    let link = registry.update(&proxy, parse::<ProxyInput>(&body)?).await?;
    Ok(answer(StatusCode::OK, &link.json()))
}

async fn delete(State(registry): Shared, Path(proxy): Path<String>) -> Result<StatusCode, ApiError> {
    registry.delete(&proxy)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn toxics(State(registry): Shared, Path(proxy): Path<String>) -> Result<Response, ApiError> {
    let toxics: Vec<Value> = registry.get(&proxy)?.rules().iter().map(|toxic| toxic.json()).collect();
    Ok(answer(StatusCode::OK, &Value::Array(toxics)))
}

async fn add_toxic(State(registry): Shared, Path(proxy): Path<String>, body: Bytes) -> Result<Response, ApiError> {
    registry.get(&proxy)?;
    let toxic = registry.add_toxic(&proxy, parse::<ToxicInput>(&body)?)?;
    Ok(answer(StatusCode::OK, &toxic.json()))
}

async fn show_toxic(
    State(registry): Shared,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    Ok(answer(StatusCode::OK, &registry.toxic(&proxy, &toxic)?.json()))
}

async fn update_toxic(
    State(registry): Shared,
    Path((proxy, toxic)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, ApiError> {
    registry.toxic(&proxy, &toxic)?;
    let toxic = registry.update_toxic(&proxy, &toxic, parse(&body)?)?;
    Ok(answer(StatusCode::OK, &toxic.json()))
}

async fn remove_toxic(
    State(registry): Shared,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    registry.remove_toxic(&proxy, &toxic)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whatever the content type says: Toxiproxy's clients do not always set it.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|e| ApiError::BadBody(e.to_string()))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn status(error: &ApiError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        answer(status(&self), &json!({ "error": self.to_string(), "status": self.status() }))
    }
}
