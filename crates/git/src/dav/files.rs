//! What the upstream's own files say of refs, asked for with the caller's credential: by WebDAV nobody says what a
//! ref named before.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lockgate_core::{
    body::{self, Body},
    protocol::Probe,
    refusal::{Refusal, RefusalKind},
};

use super::refs::{self, InfoRefs, NoRef};
use crate::{config::DavConfig, oid::Oid, service::broken};

const LIST: &str = "info/refs";
const PACKED: &str = "packed-refs";

/// Bytes of a line of `packed-refs`.
const LINE: usize = 64 * 1024;

/// What is said of a folder (RFC 4918, section 15.9).
const COLLECTION: &[u8] = b"collection";

/// A repository's files.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) probe: &'a dyn Probe,
    /// The repository's path, encoded.
    pub(super) path: &'a str,
    pub(super) limits: &'a DavConfig,
}

/// What a ref names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    /// By its own file.
    pub(super) loose: Option<Oid>,
    /// By its line in `packed-refs`, which counts where it has no file; looked for where that matters.
    pub(super) packed: Option<Oid>,
}

impl Seen {
    /// Whether it is as it was, as far as that was looked at.
    pub(super) fn stands(&self, now: &Self, packed: Packed) -> bool {
        match packed {
            // It may have been packed meanwhile.
            Packed::WithoutFile => self.name == now.name && self.names() == now.names(),
            Packed::All => self == now,
        }
    }

    /// What it names.
    pub(super) fn names(&self) -> Option<Oid> {
        self.loose.or(self.packed)
    }
}

/// Which lines of `packed-refs` matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    /// Those of refs without a file of their own.
    WithoutFile,
    /// All: they count when that file is gone.
    All,
}

impl Files<'_> {
    /// What these refs name, in their order.
    ///
    /// # Errors
    /// A refusal where it can't be found out, or one of them is no simple ref.
    pub(super) async fn look(&self, names: &[&str], packed: Packed) -> Result<Vec<Seen>, Refusal> {
        if names.len() > self.limits.lookups {
            let reason = format!("more than {} refs change at once", self.limits.lookups);
            return Err(Refusal::new(RefusalKind::TooLarge, reason));
        }
        self.in_time(async {
            let mut seen = Vec::with_capacity(names.len());
            for name in names {
                seen.push(Seen { name: (*name).to_owned(), loose: self.loose(name).await?, packed: None });
            }
            if packed == Packed::All || seen.iter().any(|seen| seen.loose.is_none()) {
                let mut found = self.packed(names).await?;
                for seen in &mut seen {
                    seen.packed = found.remove(&*seen.name);
                }
            }
            Ok(seen)
        })
        .await
    }

    /// The refs that it lists for dumb clients; none where it has no list.
    ///
    /// # Errors
    /// A refusal where it can't be had or understood.
    pub(super) async fn info_refs(&self) -> Result<InfoRefs, Refusal> {
        let reading = async {
            let Some(body) = self.get(LIST).await? else { return Ok(InfoRefs::default()) };
            let list = read(body, self.limits.refs, LIST).await?;
            InfoRefs::parse(&list).map_err(|error| strange(LIST).because(&error))
        };
        self.in_time(reading).await
    }

    async fn in_time<T>(&self, asking: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let late =
            |_| Refusal::new(RefusalKind::UpstreamTimeout, "the upstream took too long to say its refs");
        tokio::time::timeout(self.limits.time, asking).await.map_err(late)?
    }

    async fn loose(&self, name: &str) -> Result<Option<Oid>, Refusal> {
        let Some(body) = self.get(name).await? else { return Ok(None) };
        refs::loose(&read(body, refs::FILE, name).await?).map_err(|NoRef| strange(name))
    }

    async fn packed<'n>(&self, names: &[&'n str]) -> Result<HashMap<&'n str, Oid>, Refusal> {
        let wanted: HashMap<&str, &'n str> = names.iter().map(|name| (*name, *name)).collect();
        let mut found = HashMap::new();
        self.see_packed(|name, oid| {
            if let Some(name) = wanted.get(name) {
                found.insert(*name, oid?);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Whether a ref could be there, or with `is_folder` refs below it, beside those that are in `packed-refs`: no ref is
    /// in another. Of refs with files of their own the upstream's file system says so.
    pub(super) async fn has_room(&self, name: &str, is_folder: bool) -> Result<bool, Refusal> {
        let is_in =
            |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        let mut has_room = true;
        let reading = self.see_packed(|packed, _| {
            let is_in_the_way = if is_folder { packed == name } else { is_in(packed, name) };
            has_room &= !is_in_the_way && !is_in(name, packed);
            Ok(())
        });
        self.in_time(reading).await?;
        Ok(has_room)
    }

    /// Whether there is a folder of that name, which to `GET` is nothing for some servers.
    pub(super) async fn is_folder(&self, name: &str) -> Result<bool, Refusal> {
        let mut request = self.request(name)?;
        *request.method_mut() = Method::from_bytes(b"PROPFIND").expect("a method is a token");
        *request.body_mut() = body::full(super::KINDS);
        request.headers_mut().insert(super::head::DEPTH, HeaderValue::from_static("0"));
        self.in_time(async {
            let response = self.probe.send(request).await?;
            match response.status() {
                StatusCode::NOT_FOUND => Ok(false),
                StatusCode::MULTI_STATUS => {
                    let said = read(response.into_body(), LINE, name).await?;
                    Ok(said.windows(COLLECTION.len()).any(|word| word == COLLECTION))
                }
                _ => Err(strange(name)),
            }
        })
        .await
    }

    /// Shows each ref of `packed-refs`.
    async fn see_packed(
        &self,
        mut see: impl FnMut(&str, Result<Oid, NoRef>) -> Result<(), NoRef>,
    ) -> Result<(), Refusal> {
        let Some(mut body) = self.get(PACKED).await? else { return Ok(()) };
        let (mut rest, mut size) = (BytesMut::new(), 0);
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(broken)?.into_data().unwrap_or_default();
            size += data.len();
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1);
                if let Some((name, oid)) = refs::packed(&line[..end]) {
                    see(name, oid).map_err(|NoRef| strange(PACKED))?;
                }
            }
            if rest.len() > LINE || size > self.limits.refs {
                return Err(strange(PACKED));
            }
        }
        // Somebody was about to write more.
        if rest.is_empty() { Ok(()) } else { Err(strange(PACKED)) }
    }

    fn request(&self, file: &str) -> Result<Request<Body>, Refusal> {
        let parts: Vec<&str> = file.split('/').collect();
        let mut request = Request::new(body::empty());
        let uri = format!("{}{}", self.path, crate::route::encode(&parts)).parse();
        *request.uri_mut() = uri.map_err(|_| super::route::too_long())?;
        for (name, value) in [(header::ACCEPT_ENCODING, "identity"), (header::CACHE_CONTROL, "no-cache")] {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(request)
    }

    /// A file as it is now; `None` where there is none.
    async fn get(&self, file: &str) -> Result<Option<Body>, Refusal> {
        let response = self.probe.send(self.request(file)?).await?;
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        match response.status() {
            StatusCode::OK if encoding.is_some_and(|encoding| encoding != "identity") => Err(strange(file)),
            StatusCode::OK => Ok(Some(response.into_body())),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED => {
                Err(Refusal::new(RefusalKind::Unauthenticated, "the upstream asks who wants to write"))
            }
            status => {
                let reason = format!("the upstream was asked for {file}, and answered with {status}");
                Err(Refusal::new(RefusalKind::UpstreamUnavailable, reason))
            }
        }
    }
}

/// The whole of a file of the upstream's.
async fn read(body: Body, max: usize, file: &str) -> Result<Bytes, Refusal> {
    body::read(body, max).await.map_err(broken)?.ok_or_else(|| strange(file))
}

fn strange(file: &str) -> Refusal {
    let reason = format!("what the upstream has as {file} is not understood here: push over smart HTTP");
    Refusal::new(RefusalKind::UpstreamInvalid, reason)
}
