//! Whether blobs have the sizes that manifests say: by what was seen of them on their way up, else by what the registry
//! says, where a policy asks.

use futures::{StreamExt as _, stream};
use http::{HeaderMap, Method, header};
use lockgate_core::{access::Needs, refusal::RefusalKind};

use crate::{
    parse::{
        manifest::{Descriptor, Manifest},
        name::Digest,
        route::Endpoint,
    },
    read::Reader,
    recent::Recent,
    respond::Code,
    service::Refused,
};

/// Blobs whose sizes are remembered.
const KNOWN: usize = 20_000;
/// Blobs that are asked for at once.
const AT_ONCE: usize = 4;

/// The sizes of blobs that passed.
#[derive(Debug)]
pub(crate) struct Sizes(Recent<Digest, u64>);

impl Default for Sizes {
    fn default() -> Self {
        Self(Recent::new(KNOWN))
    }
}

impl Sizes {
    /// A blob is so long.
    pub(crate) fn remember(&self, digest: &Digest, size: u64) {
        self.0.put(digest.clone(), size);
    }

    /// Refuses a manifest that says another size of a blob than it has.
    pub(crate) async fn check(
        &self,
        reader: &Reader<'_>,
        manifest: &Manifest,
        needs: &Needs,
    ) -> Result<(), Refused> {
        let asks = needs.has("size") || needs.has("layer_size");
        let mut unknown: Vec<(Digest, u64)> = Vec::new();
        for Descriptor { digest, size, .. } in manifest.blobs().filter(|blob| !blob.is_foreign) {
            match self.0.get(digest) {
                Some(known) => same(digest, *size, known)?,
                None if asks => unknown.push((digest.clone(), *size)),
                None => {}
            }
        }
        let asked = unknown.into_iter().map(|(digest, said)| async move {
            let there = size(reader, &digest).await?;
            there.map_or(Ok(()), |there| same(&digest, said, there))
        });
        let mut answers = stream::iter(asked).buffered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(())
    }
}

/// How long a blob is, as the registry says; it may not say so, or not have it.
async fn size(reader: &Reader<'_>, digest: &Digest) -> Result<Option<u64>, Refused> {
    let endpoint = Endpoint::Blob(reader.repository.to_owned(), digest.clone());
    let Some(response) = reader.ask(Method::HEAD, &endpoint, HeaderMap::new()).await? else {
        return Ok(None);
    };
    Ok(response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()))
}

fn same(digest: &Digest, said: u64, there: u64) -> Result<(), Refused> {
    if said == there {
        return Ok(());
    }
    let reason = format!("the manifest says that {digest} has {said} bytes, and it has {there}");
    Err(Refused::new(RefusalKind::Invalid, Code::ManifestInvalid, reason))
}
