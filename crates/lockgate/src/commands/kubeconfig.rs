//! `lockgate kubeconfig`: how kubectl, helm and every other client of Kubernetes reach an upstream through the gateway.
//!
//! What is written holds no token, only the place where a client finds one.

mod merge;
mod user;

use std::{
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Uri;
use serde_json::{Value, json};

use crate::{
    cli::KubeconfigArgs,
    config::{Config, Tls, Upstream, read_text, scalar},
    listen::{PEM_MAX, certificates},
    output::{self, say},
    wiring,
};

/// The kind of upstream that has a kubeconfig.
const KIND: &str = "k8s";

pub(super) fn run(args: &KubeconfigArgs) -> Result<()> {
    let place = match &args.server {
        Some(server) => Place::told(server)?,
        None => Place::configured(args)?,
    };
    let ca = args.ca.as_deref().or(place.ca.as_deref()).map(authority).transpose()?;
    let name = args.context.clone().unwrap_or_else(|| place.name.clone());
    ensure!(!name.is_empty(), "a context has a name");
    let entry =
        Entry { name, server: place.server, ca, namespace: args.namespace.clone(), user: user::of(args)? };
    if args.merge {
        let file = args.output.clone().map_or_else(merge::default_file, Ok)?;
        merge::into(&file, &entry)?;
        say!("{}: the current context is {} now", file.display(), output::plain(&entry.name));
        return Ok(());
    }
    let config = entry.kubeconfig();
    match &args.output {
        Some(file) => create(file, &yaml(&config)?),
        None if args.json => output::json(&config),
        None => {
            output::text(format_args!("{}", yaml(&config)?));
            Ok(())
        }
    }
}

/// Where clients find the upstream.
struct Place {
    name: String,
    server: String,
    /// The authority that the gateway made for itself.
    ca: Option<PathBuf>,
}

impl Place {
    fn told(server: &str) -> Result<Self> {
        let scalar::HttpUrl(url) =
            scalar::http_url(server).map_err(anyhow::Error::msg).context("`--server`")?;
        let server = url.to_string().trim_end_matches('/').to_owned();
        let last = url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let host = url.host().unwrap_or_default();
        let name = format!("lockgate-{}", if last.is_empty() { host } else { last });
        Self { name, server, ca: None }.checked()
    }

    fn configured(args: &KubeconfigArgs) -> Result<Self> {
        let config = Config::load(&args.config, &wiring::kinds())
            .context("the gateway's configuration is needed, or `--server` and `--ca`")?;
        let upstream = upstream(&config, args.upstream.as_deref())?;
        let name = &upstream.name.value.0;
        let public = config.file.public_url.as_ref().map(|url| url.0.clone());
        let is_tls = config.file.listen.tls != Tls::Off;
        let server = match (&upstream.host, public) {
            (Some(host), public) => {
                let scheme = match public.as_ref().and_then(Uri::scheme_str) {
                    Some(scheme) => scheme.to_owned(),
                    None => if is_tls { "https" } else { "http" }.to_owned(),
                };
                format!("{scheme}://{}", host.value.0)
            }
            (None, Some(public)) => format!("{}/{KIND}/{name}", public.to_string().trim_end_matches('/')),
            (None, None) => {
                let scheme = if is_tls { "https" } else { "http" };
                format!("{scheme}://{}/{KIND}/{name}", reachable(&config)?)
            }
        };
        let generated = config.file.listen.tls == Tls::Generated;
        let ca = generated.then(|| config.data_dir().join("tls/ca.pem"));
        if let (Some(file), None) = (&ca, &args.ca) {
            ensure!(
                file.exists(),
                "{} is not there yet: the gateway makes it when it starts for the first time",
                file.display()
            );
        }
        Self { name: format!("lockgate-{name}"), server, ca }.checked()
    }

    /// kubectl sends no token over plain HTTP, and without a word.
    fn checked(self) -> Result<Self> {
        ensure!(
            self.server.starts_with("https://"),
            "kubectl sends tokens to https:// only, and this is {}: set `listen.tls`, or `public_url` where \
             something in front ends TLS",
            self.server
        );
        Ok(self)
    }
}

/// The address that clients on other machines can be told, too.
fn reachable(config: &Config) -> Result<SocketAddr> {
    let address = config.file.listen.address.value.0;
    if address.ip().is_unspecified() || address.port() == 0 {
        bail!(config.error(
            "without `public_url`, it is not known how clients call the gateway: set it, or give `--server`"
        ));
    }
    Ok(address)
}

fn upstream<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Upstream> {
    let ours: Vec<_> = config.file.upstreams.iter().filter(|upstream| upstream.kind.value == KIND).collect();
    let names: Vec<_> = ours.iter().map(|upstream| upstream.name.value.0.as_str()).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    match (name, ours.as_slice()) {
        (Some(name), _) => {
            let found = ours.iter().find(|upstream| upstream.name.value.0 == name);
            found.copied().with_context(|| {
                format!(
                    "{} has no upstream `{name}` of the kind `{KIND}` (there are: {known})",
                    config.path.display()
                )
            })
        }
        (None, [only]) => Ok(only),
        (None, _) => bail!("which upstream? {} has of the kind `{KIND}`: {known}", config.path.display()),
    }
}

/// The certificates of a file, and nothing else that it may hold.
fn authority(file: &Path) -> Result<String> {
    certificates(file)?;
    let pem = read_text(file, PEM_MAX)?;
    ensure!(
        !pem.contains("PRIVATE KEY"),
        "{} holds a private key beside its certificates: give a file with the certificates alone",
        file.display()
    );
    Ok(BASE64_STANDARD.encode(pem))
}

/// What a kubeconfig is told.
struct Entry {
    name: String,
    server: String,
    /// Certificates, as they stand there.
    ca: Option<String>,
    namespace: Option<String>,
    user: Value,
}

impl Entry {
    fn cluster(&self) -> Value {
        let mut cluster = json!({ "server": self.server });
        if let Some(ca) = &self.ca {
            cluster["certificate-authority-data"] = json!(ca);
        }
        json!({ "name": self.name, "cluster": cluster })
    }

    fn user(&self) -> Value {
        json!({ "name": self.name, "user": self.user })
    }

    fn context(&self) -> Value {
        let mut context = json!({ "cluster": self.name, "user": self.name });
        if let Some(namespace) = &self.namespace {
            context["namespace"] = json!(namespace);
        }
        json!({ "name": self.name, "context": context })
    }

    fn kubeconfig(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [self.cluster()],
            "users": [self.user()],
            "contexts": [self.context()],
            "current-context": self.name,
        })
    }
}

fn yaml(config: &Value) -> Result<String> {
    let text = serde_saphyr::to_string(config)?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// A new file that only its owner may read: kubectl warns of others.
fn create(file: &Path, text: &str) -> Result<()> {
    let created = std::fs::File::options().write(true).create_new(true).mode(0o600).open(file);
    let context = || format!("cannot create {}; to add to a kubeconfig, give `--merge`", file.display());
    let mut created = created.with_context(context)?;
    created.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}
