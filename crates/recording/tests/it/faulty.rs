//! A store that fails when it is told to.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

/// How the store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// It works.
    Fine,
    /// It refuses everything.
    Down,
    /// It stores what it is given, but says that it did not.
    Deaf,
    /// It stores something else under the name.
    Wrong,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: InMemory,
    mood: AtomicU8,
    pub(crate) puts: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        let store = Self { inner: InMemory::new(), mood: AtomicU8::new(0), puts: AtomicUsize::new(0) };
        store.set(mood);
        Arc::new(store)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::SeqCst) == mood as u8
    }

    fn check(&self) -> Result<()> {
        if self.is(Mood::Down) { Err(down()) } else { Ok(()) }
    }
}

fn down() -> Error {
    Error::Generic { store: "faulty", source: "connection refused".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        let payload = if self.is(Mood::Wrong) { PutPayload::from_static(b"something else") } else { payload };
        let result = self.inner.put_opts(path, payload, options).await;
        if self.is(Mood::Deaf) || self.is(Mood::Wrong) { Err(down()) } else { result }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
