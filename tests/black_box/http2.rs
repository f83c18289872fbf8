//! What HTTP/2 does otherwise than HTTP/1.1, which the other tests speak.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::server::Server;
use crate::wire::{roots, tls_config};

/// Sends requests of this method over one connection.
fn ask(server: &Server, method: &str, paths: &[&str]) -> Vec<Response<Bytes>> {
    let config = tls_config(roots(&std::fs::read(server.certificate()).unwrap()), "h2");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for path in paths {
            let request = Request::builder().method(method).uri(format!("{}{path}", server.url()));
            let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
            let (parts, body) = answer.into_parts();
            answers.push(Response::from_parts(parts, body.collect().await.unwrap().to_bytes()));
        }
        answers
    })
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let server = Server::start();
    let paths = ["/health", "/docs", "/openapi.json", "/nowhere", "/api/sites"];
    for (get, head) in ask(&server, "GET", &paths).iter().zip(ask(&server, "HEAD", &paths)) {
        assert_eq!(head.status(), get.status());
        assert!(head.body().is_empty() && !get.body().is_empty());
        assert_eq!(head.headers()["content-type"], get.headers()["content-type"]);
        assert_eq!(head.headers()["content-length"], get.body().len().to_string());
    }
}
