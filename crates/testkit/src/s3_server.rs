//! A real S3 server inside the test's process: signatures, conditional writes, listings.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use http_body_util::BodyExt as _;
use hyper::service::Service;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};

use crate::HttpServer;

/// An S3 server with one bucket in a folder.
#[derive(Debug)]
pub struct S3Server(HttpServer);

impl S3Server {
    /// The bucket that there is.
    pub const BUCKET: &str = "evidence";
    /// The id of the only access key.
    pub const KEY: &str = "key-id";
    /// Its secret.
    pub const SECRET: &str = "key-secret-4fd0";

    /// Starts a server that keeps its objects in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be used or no port can be bound.
    pub fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder.join(Self::BUCKET))?;
        let files = s3s_fs::FileSystem::new(folder).map_err(|error| anyhow!("{error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(Self::KEY, Self::SECRET));
        let service = builder.build();
        let server = HttpServer::start(None, move |request| {
            let answer = Service::call(&service, request);
            async move {
                let answer = answer.await.map_err(|error| anyhow!("{error:?}"))?;
                Ok(answer.map(|body| body.map_err(|error| anyhow!("{error}")).boxed_unsync()))
            }
        });
        Ok(Self(server.context("the S3 server")?))
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.url()
    }
}
