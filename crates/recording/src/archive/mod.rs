//! Reading recordings back from a store.

mod contents;
mod exchange;
mod follow;
mod list;
mod repeats;
pub(crate) mod track;

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use uuid::Uuid;

pub(crate) use self::list::Listed;
pub use self::{
    contents::{BundleContents, Found, IndexedExchange},
    exchange::ExchangeReader,
    list::{BundleRef, TimeRange},
    track::ExchangeFault,
};
use crate::{format::fault::Fault, store::bundle_path};

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store does not answer, or refuses.
    #[error("the store cannot be read")]
    Store(#[from] object_store::Error),
    /// The spool of this machine can't be read.
    #[error("the spool cannot be read")]
    Spool(#[source] std::io::Error),
    /// No bundle holds it.
    #[error("{0} is not in the archive")]
    NotFound(Uuid),
    /// A bundle is damaged.
    #[error("bundle {bundle} is damaged")]
    Damaged {
        /// Which.
        bundle: Uuid,
        /// Where and how.
        #[source]
        fault: Fault,
    },
    /// The bundles are whole, but not what they say of the exchange.
    #[error("exchange {exchange} is damaged in bundle {bundle}")]
    Exchange {
        /// Which exchange.
        exchange: Uuid,
        /// Where.
        bundle: Uuid,
        /// How.
        #[source]
        fault: ExchangeFault,
    },
}

/// The recordings in a store.
#[derive(Clone, Debug)]
pub struct Archive {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
}

impl Archive {
    /// The archive under `prefix`, as a [`crate::RecorderConfig`] has it.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    /// The octets of a bundle as the store has them.
    pub(crate) async fn open(
        &self,
        bundle: Uuid,
    ) -> Result<BoxStream<'static, object_store::Result<Bytes>>, ReadError> {
        let path = bundle_path(&self.prefix, bundle);
        match self.store.get(&path).await {
            Ok(object) => Ok(object.into_stream().boxed()),
            Err(object_store::Error::NotFound { .. }) => Err(ReadError::NotFound(bundle)),
            Err(error) => Err(error.into()),
        }
    }
}
