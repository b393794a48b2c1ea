//! Approvals, what is asked for and what is answered.

use lockgate_core::{
    access::Access,
    approval::{Ask, Ticket, TicketState},
    verdict::{ApprovalTerms, OnDisconnect},
};
use lockgate_proto::v1;

use super::{
    FromProto, IntoProto, Result, WrongField, attributes, duration, enumeration, inner, not_empty,
    proto_attributes, proto_duration, short, time, timestamp, uuid,
};
use crate::model::{Answer, Approval, ApprovalRequest, AskedAccess, Decision, PageRequest, State};

/// The page where a human sees and decides an approval, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    pub(crate) approvals_url: Option<String>,
}

impl Links {
    fn url(&self, id: &str) -> Option<String> {
        self.approvals_url.as_ref().map(|url| format!("{}/{id}", url.trim_end_matches('/')))
    }
}

/// An approval as it goes out, with the place to decide it.
pub(crate) fn approval(approval: Approval, links: &Links) -> v1::Approval {
    v1::Approval {
        state: proto_state(approval.state()).into(),
        url: links.url(&approval.id).unwrap_or_default(),
        command: format!("lockgate approvals approve {}", approval.id),
        id: approval.id,
        request: Some(approval.request.into_proto()),
        decisions: approval.decisions.into_iter().map(IntoProto::into_proto).collect(),
        created_at: Some(timestamp(approval.created)),
        expires_at: Some(timestamp(approval.expires)),
        used_by: approval.used_by.unwrap_or_default(),
    }
}

/// An approval as the pipeline sees it.
pub(crate) fn ticket(mut approval: v1::Approval) -> Result<Ticket> {
    let (url, command) = (std::mem::take(&mut approval.url), std::mem::take(&mut approval.command));
    let Approval { id, state, .. } = Approval::from_proto(approval)?;
    Ok(Ticket { id, url: Some(url).filter(|url| !url.is_empty()), command, state })
}

impl FromProto<v1::Approval> for Approval {
    fn from_proto(approval: v1::Approval) -> Result<Self> {
        let decisions = approval.decisions.into_iter().map(Decision::from_proto);
        let mut result = Self {
            id: uuid(approval.id, "id")?,
            request: inner(approval.request, "request")?,
            state: TicketState::Pending,
            decisions: decisions.collect::<Result<_>>().map_err(|error| error.within("decisions"))?,
            created: time(approval.created_at, "created_at")?,
            expires: time(approval.expires_at, "expires_at")?,
            used_by: Some(approval.used_by).filter(|exchange| !exchange.is_empty()),
        };
        // The state is the server's to say: it has the clock.
        result.state = match state(approval.state, "state")? {
            State::Pending => TicketState::Pending,
            State::Approved => TicketState::Approved { by: result.approvers() },
            State::Denied => denied(&result.decisions)?,
            State::Expired => TicketState::Expired,
            State::Used => TicketState::Used,
        };
        Ok(result)
    }
}

fn denied(decisions: &[Decision]) -> Result<TicketState> {
    let no = decisions.iter().find(|decision| decision.answer == Answer::Deny);
    let no = no.ok_or_else(|| WrongField::new("decisions", "nobody denied it"))?;
    Ok(TicketState::Denied { by: no.by.to_string(), reason: no.reason.clone() })
}

impl IntoProto for Ask {
    type Message = v1::ApprovalRequest;

    fn into_proto(self) -> v1::ApprovalRequest {
        v1::ApprovalRequest {
            key: self.key,
            requester: Some((&*self.caller.principal).into_proto()),
            session: self.caller.session.as_str().to_owned(),
            upstream: self.upstream,
            accesses: self.accesses.into_iter().map(IntoProto::into_proto).collect(),
            rules: self.rules,
            terms: Some(self.terms.into_proto()),
            exchange: self.exchange,
        }
    }
}

impl IntoProto for Access {
    type Message = v1::AskedAccess;

    fn into_proto(self) -> v1::AskedAccess {
        let attributes = self.attributes.iter().map(|(name, value)| (name.to_owned(), value.to_string()));
        v1::AskedAccess {
            protocol: self.protocol.to_owned(),
            action: self.action.to_owned(),
            attributes: proto_attributes(attributes.collect()),
            resource: self.resource,
            binding: self.binding,
        }
    }
}

impl FromProto<v1::ApprovalRequest> for ApprovalRequest {
    fn from_proto(request: v1::ApprovalRequest) -> Result<Self> {
        if request.accesses.is_empty() {
            return Err(WrongField::new("accesses", "there is nothing to approve"));
        }
        Ok(Self {
            key: short(not_empty(request.key, "key")?, "key")?,
            requester: inner(request.requester, "requester")?,
            session: request.session,
            upstream: not_empty(request.upstream, "upstream")?,
            accesses: request.accesses.into_iter().map(AskedAccess::from_proto).collect::<Result<_>>()?,
            rules: request.rules,
            terms: inner(request.terms, "terms")?,
            exchange: uuid(request.exchange, "exchange")?,
        })
    }
}

impl IntoProto for ApprovalRequest {
    type Message = v1::ApprovalRequest;

    fn into_proto(self) -> v1::ApprovalRequest {
        v1::ApprovalRequest {
            key: self.key,
            requester: Some((&self.requester).into_proto()),
            session: self.session,
            upstream: self.upstream,
            accesses: self.accesses.into_iter().map(IntoProto::into_proto).collect(),
            rules: self.rules,
            terms: Some(self.terms.into_proto()),
            exchange: self.exchange,
        }
    }
}

impl FromProto<v1::AskedAccess> for AskedAccess {
    fn from_proto(access: v1::AskedAccess) -> Result<Self> {
        Ok(Self {
            protocol: access.protocol,
            action: access.action,
            resource: access.resource,
            binding: access.binding,
            attributes: attributes(access.attributes),
        })
    }
}

impl IntoProto for AskedAccess {
    type Message = v1::AskedAccess;

    fn into_proto(self) -> v1::AskedAccess {
        v1::AskedAccess {
            protocol: self.protocol,
            action: self.action,
            resource: self.resource,
            binding: self.binding,
            attributes: proto_attributes(self.attributes),
        }
    }
}

impl FromProto<v1::ApprovalTerms> for ApprovalTerms {
    fn from_proto(terms: v1::ApprovalTerms) -> Result<Self> {
        if terms.count == 0 {
            return Err(WrongField::new("count", "nobody's approval is no approval"));
        }
        Ok(Self {
            from: terms.from.into_iter().collect(),
            count: terms.count,
            hold: duration(terms.hold, "hold")?,
            ttl: duration(terms.ttl, "ttl")?,
            on_disconnect: match enumeration(terms.on_disconnect, "on_disconnect")? {
                v1::OnDisconnect::Continue => OnDisconnect::Continue,
                v1::OnDisconnect::Cancel => OnDisconnect::Cancel,
                v1::OnDisconnect::Unspecified => {
                    return Err(WrongField::new("on_disconnect", "is missing"));
                }
            },
        })
    }
}

impl IntoProto for ApprovalTerms {
    type Message = v1::ApprovalTerms;

    fn into_proto(self) -> v1::ApprovalTerms {
        let on_disconnect = match self.on_disconnect {
            OnDisconnect::Continue => v1::OnDisconnect::Continue,
            OnDisconnect::Cancel => v1::OnDisconnect::Cancel,
        };
        v1::ApprovalTerms {
            from: self.from.into_iter().collect(),
            count: self.count,
            hold: Some(proto_duration(self.hold)),
            ttl: Some(proto_duration(self.ttl)),
            on_disconnect: on_disconnect.into(),
        }
    }
}

impl FromProto<v1::Decision> for Decision {
    fn from_proto(decision: v1::Decision) -> Result<Self> {
        Ok(Self {
            by: inner(decision.by, "by")?,
            answer: answer(decision.answer)?,
            reason: decision.reason,
            at: time(decision.at, "at")?,
        })
    }
}

impl IntoProto for Decision {
    type Message = v1::Decision;

    fn into_proto(self) -> v1::Decision {
        v1::Decision {
            by: Some((&self.by).into_proto()),
            answer: self.answer.into_proto().into(),
            reason: self.reason,
            at: Some(timestamp(self.at)),
        }
    }
}

/// What a person says to an approval.
pub(crate) struct Decide {
    pub(crate) id: String,
    pub(crate) answer: Answer,
    pub(crate) reason: String,
}

impl FromProto<v1::DecideApprovalRequest> for Decide {
    fn from_proto(request: v1::DecideApprovalRequest) -> Result<Self> {
        let (answer, reason) = (answer(request.answer)?, short(request.reason, "reason")?);
        if answer == Answer::Deny && reason.trim().is_empty() {
            return Err(WrongField::new("reason", "a denial needs one: the requester is told"));
        }
        Ok(Self { id: uuid(request.id, "id")?, answer, reason })
    }
}

/// Which approvals are listed.
pub(crate) struct ListApprovals {
    pub(crate) states: Vec<State>,
    pub(crate) page: PageRequest,
}

impl FromProto<v1::ListApprovalsRequest> for ListApprovals {
    fn from_proto(request: v1::ListApprovalsRequest) -> Result<Self> {
        let mut states = Vec::new();
        for value in request.states {
            let state = state(value, "states")?;
            if !states.contains(&state) {
                states.push(state);
            }
        }
        Ok(Self { states, page: super::page(request.page_size, request.page_token)? })
    }
}

fn answer(value: i32) -> Result<Answer> {
    match enumeration(value, "answer")? {
        v1::Answer::Approve => Ok(Answer::Approve),
        v1::Answer::Deny => Ok(Answer::Deny),
        v1::Answer::Unspecified => Err(WrongField::new("answer", "is missing")),
    }
}

impl IntoProto for Answer {
    type Message = v1::Answer;

    fn into_proto(self) -> v1::Answer {
        match self {
            Answer::Approve => v1::Answer::Approve,
            Answer::Deny => v1::Answer::Deny,
        }
    }
}

fn state(value: i32, field: &str) -> Result<State> {
    match enumeration(value, field)? {
        v1::ApprovalState::Pending => Ok(State::Pending),
        v1::ApprovalState::Approved => Ok(State::Approved),
        v1::ApprovalState::Denied => Ok(State::Denied),
        v1::ApprovalState::Expired => Ok(State::Expired),
        v1::ApprovalState::Used => Ok(State::Used),
        v1::ApprovalState::Unspecified => Err(WrongField::new(field, "is missing")),
    }
}

pub(crate) fn proto_state(state: State) -> v1::ApprovalState {
    match state {
        State::Pending => v1::ApprovalState::Pending,
        State::Approved => v1::ApprovalState::Approved,
        State::Denied => v1::ApprovalState::Denied,
        State::Expired => v1::ApprovalState::Expired,
        State::Used => v1::ApprovalState::Used,
    }
}
