//! Bodies that must be seen whole before a verdict: kept in bounded memory, then on disk.

mod follow;

use std::{
    fs::File,
    io::{SeekFrom, Write as _},
    path::PathBuf,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

pub use self::follow::Follower;
use crate::body::{self, Body, BodyError};
use follow::Told;

/// How much a read from a spool returns at once.
const READ: usize = 128 * 1024;

/// Where spools are made, and their limits.
#[derive(Debug, Clone)]
pub struct Spools {
    /// The folder for what exceeds the memory. Files in it have no name: a crash leaves none behind.
    pub dir: PathBuf,
    /// Bytes kept in memory per spool.
    pub memory: usize,
    /// Bytes that one spool may hold altogether.
    pub max: u64,
}

/// Why a spool could not take more.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The client: its body is larger than the limit.
    #[error("the body is larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// The body itself broke off.
    #[error("the body broke off")]
    Body(#[source] BodyError),
    /// We: the disk.
    #[error("the spool can't be written or read")]
    Disk(#[source] std::io::Error),
}

impl Spools {
    /// An empty spool.
    pub fn create(&self) -> SpoolWriter {
        SpoolWriter { limits: self.clone(), memory: BytesMut::new(), file: None, len: 0, told: None }
    }
}

/// A spool being written.
#[derive(Debug)]
pub struct SpoolWriter {
    limits: Spools,
    memory: BytesMut,
    file: Option<Arc<File>>,
    len: u64,
    told: Option<Told>,
}

impl SpoolWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`SpoolError::TooLarge`] and [`SpoolError::Disk`]; the spool is of no use afterwards.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), SpoolError> {
        self.len += bytes.len() as u64;
        if self.len > self.limits.max {
            return Err(SpoolError::TooLarge { max: self.limits.max });
        }
        self.memory.extend_from_slice(bytes);
        let most = if self.told.is_some() { self.limits.memory.min(READ) } else { self.limits.memory };
        if self.memory.len() > most { self.flush().await } else { Ok(()) }
    }

    /// Appends a whole body.
    ///
    /// # Errors
    /// As [`SpoolWriter::write`], and [`SpoolError::Body`] when the body breaks off.
    pub async fn write_body(&mut self, body: &mut Body) -> Result<(), SpoolError> {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(SpoolError::Body)?.into_data() {
                self.write(&data).await?;
            }
        }
        Ok(())
    }

    /// Reads what is written while it is being written. From here on it is kept on disk.
    pub fn follow(&mut self) -> Follower {
        self.told.get_or_insert_default().follower()
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ends the writing.
    ///
    /// # Errors
    /// [`SpoolError::Disk`].
    pub async fn finish(mut self) -> Result<Spool, SpoolError> {
        let on_disk = self.file.is_some() || self.told.is_some();
        if on_disk && !self.memory.is_empty() {
            self.flush().await?;
        }
        Ok(Spool { memory: self.memory.freeze(), file: self.file, len: self.len })
    }

    async fn flush(&mut self) -> Result<(), SpoolError> {
        let (file, memory, dir) = (self.file.take(), self.memory.split(), self.limits.dir.clone());
        let file = blocking(move || {
            let file = file.map_or_else(|| tempfile::tempfile_in(dir).map(Arc::new), Ok)?;
            (&*file).write_all(&memory)?;
            Ok(file)
        });
        let file = file.await?;
        if let Some(told) = &self.told {
            told.tell(&file, self.len);
        }
        self.file = Some(file);
        Ok(())
    }
}

/// A finished spool: may be read any number of times.
#[derive(Debug, Clone)]
pub struct Spool {
    memory: Bytes,
    file: Option<Arc<File>>,
    len: u64,
}

impl Spool {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads up to `max` bytes at an offset; fewer only at the end.
    ///
    /// # Errors
    /// [`SpoolError::Disk`].
    pub async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, SpoolError> {
        let left = self.len.saturating_sub(offset).min(max as u64) as usize;
        let Some(file) = self.file.clone() else {
            let start = (offset.min(self.len)) as usize;
            return Ok(self.memory.slice(start..start + left));
        };
        read_exact_at(file, offset, left).await
    }

    /// A blocking reader from an offset, for parsers that know no async. It has a position of its own.
    pub fn reader(&self, offset: u64) -> SpoolReader {
        SpoolReader { spool: self.clone(), offset }
    }

    /// The whole as a body of known length, behind `head`.
    pub fn body_after(&self, head: Bytes) -> Body {
        let hint = SizeHint::with_exact(head.len() as u64 + self.len);
        let (first, spool) = ((!head.is_empty()).then_some(head), self.clone());
        let frames = stream::try_unfold((first, 0u64), move |(first, offset)| {
            let spool = spool.clone();
            async move {
                if let Some(head) = first {
                    return Ok(Some((Frame::data(head), (None, offset))));
                }
                let bytes =
                    spool.read_at(offset, READ).await.map_err(|error| BodyError::Ours(error.into()))?;
                let next = offset + bytes.len() as u64;
                Ok((!bytes.is_empty()).then(|| (Frame::data(bytes), (None, next))))
            }
        });
        body::from_stream(frames, hint)
    }
}

/// Reads a spool in blocking code.
#[derive(Debug)]
pub struct SpoolReader {
    spool: Spool,
    offset: u64,
}

impl std::io::Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use std::os::unix::fs::FileExt as _;
        let read = match &self.spool.file {
            Some(file) => file.read_at(buffer, self.offset)?,
            None => {
                let start = self.offset.min(self.spool.len) as usize;
                (&self.spool.memory[start..]).read(buffer)?
            }
        };
        self.offset += read as u64;
        Ok(read)
    }
}

impl std::io::Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.spool.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.offset.checked_add_signed(offset),
        };
        self.offset = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}

async fn read_exact_at(file: Arc<File>, offset: u64, length: usize) -> Result<Bytes, SpoolError> {
    blocking(move || {
        use std::os::unix::fs::FileExt as _;
        let mut buffer = BytesMut::zeroed(length);
        file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.freeze())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, SpoolError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(SpoolError::Disk)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    async fn check(memory: usize, pieces: &[&[u8]]) {
        let dir = tempfile::tempdir().unwrap();
        let spools = Spools { dir: dir.path().into(), memory, max: 1 << 20 };
        let mut writer = spools.create();
        for piece in pieces {
            writer.write(&Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let spool = writer.finish().await.unwrap();
        let expected = pieces.concat();
        assert_eq!(spool.len(), expected.len() as u64);
        assert_eq!(spool.file.is_some(), expected.len() > memory, "memory {memory}");
        assert_eq!(spool.read_at(0, usize::MAX >> 1).await.unwrap(), expected);
        assert_eq!(spool.read_at(2, 3).await.unwrap(), expected.get(2..5).unwrap_or_default());

        let mut read = Vec::new();
        spool.reader(1).take(1 << 20).read_to_end_bounded(&mut read);
        assert_eq!(read, expected.get(1..).unwrap_or_default());

        let body = spool.body_after(Bytes::from_static(b"head"));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(expected.len() as u64 + 4));
        let body = http_body_util::Limited::new(body, 1 << 20);
        #[expect(clippy::disallowed_methods, reason = "limited above")]
        let whole = body.collect().await.unwrap().to_bytes();
        assert_eq!(whole, [b"head", &*expected].concat());
    }

    trait ReadBounded {
        fn read_to_end_bounded(self, out: &mut Vec<u8>);
    }

    impl<R: std::io::Read> ReadBounded for std::io::Take<R> {
        fn read_to_end_bounded(mut self, out: &mut Vec<u8>) {
            std::io::copy(&mut self, out).unwrap();
        }
    }

    #[tokio::test]
    async fn holds_the_same_in_memory_and_on_disk() {
        for memory in [0, 1, 5, 1000] {
            check(memory, &[b"abc", b"", b"defgh", b"i"]).await;
            check(memory, &[&[7; 5]]).await;
        }
        check(4, &[]).await;
    }

    #[tokio::test]
    async fn refuses_what_is_too_large() {
        let spools = Spools { dir: "/nonexistent".into(), memory: 100, max: 4 };
        let mut writer = spools.create();
        writer.write(&Bytes::from_static(b"1234")).await.unwrap();
        let error = writer.write(&Bytes::from_static(b"5")).await.unwrap_err();
        assert!(matches!(error, SpoolError::TooLarge { max: 4 }), "{error}");
    }

    #[tokio::test]
    async fn says_when_the_disk_fails() {
        let spools = Spools { dir: "/nonexistent".into(), memory: 1, max: 100 };
        let error = spools.create().write(&Bytes::from_static(b"12")).await.unwrap_err();
        assert!(matches!(error, SpoolError::Disk(_)), "{error}");
    }
}
