//! A spool read while it is being written.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;

use super::{READ, SpoolError, read_exact_at};

/// What a writer tells its followers.
#[derive(Debug, Default)]
pub(super) struct Told(watch::Sender<Written>);

/// What is on disk.
#[derive(Debug, Clone, Default)]
struct Written {
    file: Option<Arc<File>>,
    len: u64,
}

impl Told {
    pub(super) fn follower(&self) -> Follower {
        Follower { written: self.0.subscribe() }
    }

    pub(super) fn tell(&self, file: &Arc<File>, len: u64) {
        self.0.send_replace(Written { file: Some(Arc::clone(file)), len });
    }
}

/// Reads a spool while it is being written, and afterwards.
#[derive(Debug)]
pub struct Follower {
    written: watch::Receiver<Written>,
}

impl Follower {
    /// Waits until there is something behind an offset; says where it ends, which is `offset` itself where the writer
    /// has ended, or is gone, before that.
    pub async fn beyond(&mut self, offset: u64) -> u64 {
        match self.written.wait_for(|written| written.len > offset).await {
            Ok(written) => written.len,
            Err(_) => offset,
        }
    }

    /// Reads at an offset: all that is there until another, but no more than is read at once.
    ///
    /// # Errors
    /// [`SpoolError::Disk`].
    pub async fn read(&self, offset: u64, until: u64) -> Result<Bytes, SpoolError> {
        let Written { file, len } = self.written.borrow().clone();
        let left = until.min(len).saturating_sub(offset).min(READ as u64) as usize;
        match file {
            Some(file) => read_exact_at(file, offset, left).await,
            None => Ok(Bytes::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spool::Spools;

    #[tokio::test]
    async fn reads_what_is_written_until_the_writer_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Spools { dir: dir.path().into(), memory: 2, max: 100 }.create();
        let mut follower = writer.follow();
        assert!(follower.read(0, 9).await.unwrap().is_empty());
        writer.write(&"abc".into()).await.unwrap();
        assert_eq!(follower.beyond(0).await, 3);
        assert_eq!(follower.read(1, 9).await.unwrap(), "bc");
        assert_eq!(follower.read(0, 2).await.unwrap(), "ab");
        let (end, spool) = tokio::join!(follower.beyond(3), async {
            // Still in memory: it is on disk when the writer has ended.
            writer.write(&"d".into()).await.unwrap();
            writer.finish().await.unwrap()
        });
        assert_eq!((end, spool.len()), (4, 4));
        assert_eq!(follower.read(3, 9).await.unwrap(), "d");
        assert_eq!(follower.beyond(4).await, 4, "there is no more");
    }
}
