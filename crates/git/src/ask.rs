//! Asks the upstream for objects that a push lacks, by fetches of protocol version 2.
//!
//! Only what is needed is asked for where the upstream can filter; else what it sends besides is passed
//! over, within the limit. Nothing it answers is believed but what hashes to the names that are looked for.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use lockgate_core::{
    body::{self, Body, BodyError},
    protocol::Context,
    refusal::Refusal,
    spool::{Spool, SpoolError, Spools},
};

use crate::{
    oid::{ObjectFormat, Oid},
    pkt::{self, Band, Packet, Packets, PktError},
    route::{Endpoint, Route, Service},
};

/// The longest advertisement of version 2, which lists no refs, or answer to the question for one ref.
const SHORT: usize = 64 * 1024;

/// What do some objects reach, that another does not?
pub(crate) struct Question {
    pub(crate) wants: Vec<Oid>,
    pub(crate) have: Option<Oid>,
    /// What of it is not needed.
    pub(crate) omit: Omit,
    /// Whether the parents of commits are not needed either.
    pub(crate) shallow: bool,
}

/// What an answer need not hold, unless it is wanted by name. An upstream that can't filter sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Omit {
    Nothing,
    Blobs,
    BlobsAndTrees,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the upstream can't be asked")]
    Refused(#[from] Refusal),
    #[error("the upstream answered the question with {0}")]
    Status(StatusCode),
    #[error("the upstream's answer broke off")]
    Body(#[from] BodyError),
    #[error("the upstream's answer is malformed")]
    Pkt(#[from] PktError),
    #[error("the upstream's answer {0}")]
    Nonsense(&'static str),
    /// It has no such objects, or does not give them.
    #[error("the upstream does not give what it was asked for")]
    NotGiven,
    #[error("the upstream's answer can't be kept")]
    Spool(#[from] SpoolError),
}

/// Asks questions about one repository.
pub(crate) struct Asker<'a> {
    context: Context<'a>,
    route: &'a Route,
    format: ObjectFormat,
    spools: Spools,
    filter: Option<bool>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(context: Context<'a>, route: &'a Route, format: ObjectFormat, answer: u64) -> Self {
        let spools = Spools { max: answer, ..context.spools.clone() };
        Self { context, route, format, spools, filter: None }
    }

    /// The commit of the upstream's default branch, if that has one.
    pub(crate) async fn head(&mut self) -> Result<Option<Oid>, AskError> {
        self.filter().await?;
        let mut out = Vec::new();
        self.command(&mut out, "ls-refs");
        pkt::write(&mut out, b"ref-prefix HEAD\n");
        out.extend_from_slice(pkt::FLUSH);
        let request = self.request(Endpoint::Rpc(Service::UploadPack), out.into())?;
        let mut body = self.send(request, "result").await?.into_body();
        let (mut packets, mut head) = (Packets::default(), None);
        lines(&mut body, &mut packets, |line| {
            if let Some(oid) = line.strip_suffix(b" HEAD") {
                head = Oid::from_hex(oid);
            }
        })
        .await?;
        match head {
            Some(oid) if oid.format() != self.format => Err(FORMAT),
            head => Ok(head),
        }
    }

    /// A pack with the answer.
    pub(crate) async fn ask(&mut self, question: &Question) -> Result<Spool, AskError> {
        let filter = self.filter().await?;
        let request = self.request(Endpoint::Rpc(Service::UploadPack), self.fetch(question, filter))?;
        let response = self.send(request, "result").await?;
        self.pack(response.into_body()).await
    }

    /// Whether the upstream can leave trees and blobs out.
    async fn filter(&mut self) -> Result<bool, AskError> {
        let filter = match self.filter {
            Some(filter) => filter,
            None => self.can_filter().await?,
        };
        self.filter = Some(filter);
        Ok(filter)
    }

    /// The same, asked; an error where it does not speak version 2 or names objects otherwise.
    async fn can_filter(&self) -> Result<bool, AskError> {
        let request = self.request(Endpoint::Advertisement(Service::UploadPack), Bytes::new())?;
        let mut body = self.send(request, "advertisement").await?.into_body();
        let (mut version, mut format, mut filter) = (false, Some(ObjectFormat::Sha1), false);
        lines(&mut body, &mut Packets::default(), |line| {
            let Ok(line) = std::str::from_utf8(line) else { return };
            version |= line == "version 2";
            if let Some(word) = line.strip_prefix("object-format=") {
                format = ObjectFormat::from_word(word);
            }
            let features = line.strip_prefix("fetch=").unwrap_or_default();
            filter |= features.split(' ').any(|feature| feature == "filter");
        })
        .await?;
        match (version, format == Some(self.format)) {
            (true, true) => Ok(filter),
            (true, false) => Err(FORMAT),
            (false, _) => Err(AskError::Nonsense("is not of version 2")),
        }
    }

    fn fetch(&self, question: &Question, filter: bool) -> Bytes {
        let mut out = Vec::new();
        self.command(&mut out, "fetch");
        let mut line = |text: String| pkt::write(&mut out, text.as_bytes());
        line("no-progress".to_owned());
        line("ofs-delta".to_owned());
        match question.omit {
            Omit::Blobs if filter => line("filter blob:none".to_owned()),
            Omit::BlobsAndTrees if filter => line("filter tree:0".to_owned()),
            Omit::Nothing | Omit::Blobs | Omit::BlobsAndTrees => {}
        }
        if question.shallow {
            line("deepen 1".to_owned());
        }
        for want in &question.wants {
            line(format!("want {want}\n"));
        }
        if let Some(have) = question.have {
            line(format!("have {have}\n"));
        }
        line("done\n".to_owned());
        out.extend_from_slice(pkt::FLUSH);
        out.into()
    }

    fn command(&self, out: &mut Vec<u8>, command: &str) {
        pkt::write(out, format!("command={command}").as_bytes());
        pkt::write(out, format!("object-format={}", self.format.word()).as_bytes());
        out.extend_from_slice(pkt::DELIMITER);
    }

    fn request(&self, endpoint: Endpoint, bytes: Bytes) -> Result<Request<Body>, AskError> {
        const PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");
        let route = Route { endpoint, ..self.route.clone() };
        let mut request = Request::new(body::full(bytes));
        *request.uri_mut() = route.uri().ok_or(AskError::Nonsense("has no address"))?;
        request.headers_mut().insert(PROTOCOL, HeaderValue::from_static("version=2"));
        if endpoint == Endpoint::Rpc(Service::UploadPack) {
            *request.method_mut() = Method::POST;
            let media_type = HeaderValue::from_static("application/x-git-upload-pack-request");
            request.headers_mut().insert(header::CONTENT_TYPE, media_type);
        }
        Ok(request)
    }

    async fn send(&self, request: Request<Body>, of: &str) -> Result<Response<Body>, AskError> {
        let response = self.context.probe.send(request).await?;
        let expected = Service::UploadPack.media_type(of);
        if response.status() != StatusCode::OK {
            return Err(AskError::Status(response.status()));
        }
        if response.headers().get(header::CONTENT_TYPE).is_none_or(|given| *given != *expected) {
            return Err(AskError::Nonsense("is not git's"));
        }
        Ok(response)
    }

    /// Takes the pack out of the sections and the side-band of an answer.
    async fn pack(&self, mut body: Body) -> Result<Spool, AskError> {
        let (mut packets, mut spool, mut in_pack) = (Packets::default(), self.spools.create(), false);
        while let Some(frame) = body.frame().await {
            let data = frame?.into_data().unwrap_or_default();
            let mut rest = &data[..];
            let mut piece = Vec::with_capacity(data.len());
            while let Some(packet) = packets.next(&mut rest)? {
                match packet {
                    Packet::Data(line) if in_pack => match Band::of(line) {
                        Some((Band::Data, bytes)) => piece.extend_from_slice(bytes),
                        Some((Band::Progress, _)) => {}
                        Some((Band::Error, _)) | None => return Err(AskError::Nonsense("is an error")),
                    },
                    Packet::Data(line) if line.starts_with(b"ERR ") => return Err(AskError::NotGiven),
                    Packet::Data(_) => in_pack = packet.line() == Some(b"packfile"),
                    Packet::Flush if in_pack => {
                        spool.write(&piece.into()).await?;
                        return Ok(spool.finish().await?);
                    }
                    Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => {}
                }
            }
            spool.write(&piece.into()).await?;
        }
        Err(AskError::Nonsense("holds no whole pack"))
    }
}

/// Shows each line of a short answer.
async fn lines(body: &mut Body, packets: &mut Packets, mut see: impl FnMut(&[u8])) -> Result<(), AskError> {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().unwrap_or_default();
        read += data.len();
        if read > SHORT {
            return Err(AskError::Nonsense("is too long for version 2"));
        }
        let mut rest = &data[..];
        while let Some(packet) = packets.next(&mut rest)? {
            packet.line().into_iter().for_each(&mut see);
        }
    }
    Ok(())
}

const FORMAT: AskError = AskError::Nonsense("is of another object format");
