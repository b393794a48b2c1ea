//! What lockgate is tested against: real upstreams, real clients, identity providers, and faults.
//!
//! Everything is real where it can be: a `git http-backend` behind nginx, a Kubernetes API server, a registry, a
//! certified OpenID provider, the unmodified `git`, `kubectl`, `skopeo` and other clients, the built binary. Each value owns its temporary folder and its processes, and both are
//! gone when it is dropped, or when the test's process dies. The API is synchronous, so that it serves plain
//! tests and async ones alike; what runs inside the test's process has a thread of its own. Only to be used
//! as a dev-dependency.

mod chaos;
mod clients;
pub mod conformance;
mod dav_server;
pub mod generate;
mod git;
mod git_server;
mod http_server;
mod idp;
pub mod image;
mod image_client;
mod kubernetes;
mod leash;
mod lfs_server;
mod lockgate;
mod nginx;
mod packages;
mod port;
pub mod process;
mod real_idp;
mod registry;
mod repo;
mod running;
mod s3_server;
mod signer;
mod tls;
mod token;
pub mod wait;

pub use chaos::{Chaos, Fault};
pub use clients::{Client, Library, Scheme};
pub use dav_server::DavServer;
pub use git::{Git, Output, with_user};
pub use git_server::{Auth, GitServer, GitServerOptions, ServedRequest};
pub use http_server::{Body, HttpServer, body};
pub use idp::{Fetches, Idp, Mood};
pub use image::Image;
pub use image_client::{ImageClient, ImageTool};
pub use kubernetes::{Cluster, KubeUser, Kubectl, Transport};
pub use lfs_server::LfsStorage;
pub use lockgate::Lockgate;
pub use nginx::{Nginx, program};
pub use port::Port;
pub use real_idp::RealIdp;
pub use registry::{Registry, RegistryOptions};
pub use repo::{ObjectFormat, Repo};
pub use running::Running;
pub use s3_server::S3Server;
pub use signer::{Signature, Signer};
pub use tls::{Ca, Identity};
pub use token::{Alg, SigningKey, Token};
