//! Who may call what: one table for every RPC there is, and the roles that configuration gives to groups.
//!
//! What is not in the table is refused, whoever asks.

use std::fmt;

use serde::Deserialize;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at policies, approvals and sessions.
    Viewer,
    /// Decides approvals, besides.
    Approver,
    /// Looks at the audit, besides.
    Auditor,
    /// Does all of it, and publishes policies.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Approver, Self::Auditor, Self::Admin];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        })
    }
}

/// The groups whose members have a role: groups of the token, or defined by the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleGroups {
    /// Of [`Role::Viewer`].
    pub viewer: Vec<String>,
    /// Of [`Role::Approver`].
    pub approver: Vec<String>,
    /// Of [`Role::Auditor`].
    pub auditor: Vec<String>,
    /// Of [`Role::Admin`].
    pub admin: Vec<String>,
}

impl RoleGroups {
    /// The roles of somebody in these groups.
    pub fn roles(&self, groups: &[String]) -> Vec<Role> {
        let has = |role: &Role| self.of(*role).iter().any(|group| groups.contains(group));
        Role::ALL.into_iter().filter(has).collect()
    }

    fn of(&self, role: Role) -> &[String] {
        match role {
            Role::Viewer => &self.viewer,
            Role::Approver => &self.approver,
            Role::Auditor => &self.auditor,
            Role::Admin => &self.admin,
        }
    }
}

/// Who may call an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Proxies.
    pub(crate) proxies: bool,
    /// People with one of these roles.
    pub(crate) roles: &'static [Role],
    /// Everyone who can connect, unknown or not.
    pub(crate) anyone: bool,
}

const PROXIES: Allowed = Allowed { proxies: true, roles: &[], anyone: false };
const ANYONE: Allowed = Allowed { proxies: false, roles: &[], anyone: true };
const READERS: Allowed = Allowed { proxies: false, roles: &Role::ALL, anyone: false };
const READERS_AND_PROXIES: Allowed = Allowed { proxies: true, roles: &Role::ALL, anyone: false };
const APPROVERS: Allowed = Allowed { proxies: false, roles: &[Role::Approver, Role::Admin], anyone: false };
const AUDITORS: Allowed = Allowed { proxies: false, roles: &[Role::Auditor, Role::Admin], anyone: false };
const PROXIES_AND_ADMINS: Allowed = Allowed { proxies: true, roles: &[Role::Admin], anyone: false };
const ADMINS: Allowed = Allowed { proxies: false, roles: &[Role::Admin], anyone: false };

/// Every RPC, by its path.
const TABLE: &[(&str, Allowed)] = &[
    ("/lockgate.v1.PolicyService/ValidatePolicy", READERS),
    ("/lockgate.v1.PolicyService/PublishPolicy", ADMINS),
    ("/lockgate.v1.PolicyService/GetPolicy", READERS),
    ("/lockgate.v1.PolicyService/ListPolicyVersions", READERS),
    ("/lockgate.v1.PolicyService/RollBackPolicy", ADMINS),
    ("/lockgate.v1.PolicyService/WatchPolicy", PROXIES),
    ("/lockgate.v1.ApprovalService/RequestApproval", PROXIES),
    ("/lockgate.v1.ApprovalService/GetApproval", READERS_AND_PROXIES),
    ("/lockgate.v1.ApprovalService/ListApprovals", READERS),
    ("/lockgate.v1.ApprovalService/WatchApproval", READERS_AND_PROXIES),
    ("/lockgate.v1.ApprovalService/DecideApproval", APPROVERS),
    ("/lockgate.v1.ApprovalService/RedeemApproval", PROXIES),
    ("/lockgate.v1.SessionService/PutEntries", PROXIES_AND_ADMINS),
    ("/lockgate.v1.SessionService/SearchEntries", READERS),
    ("/lockgate.v1.SessionService/SearchSessions", READERS),
    ("/lockgate.v1.SessionService/GetEntry", READERS),
    ("/lockgate.v1.AuditService/ListAuditEvents", AUDITORS),
    ("/grpc.health.v1.Health/Check", ANYONE),
    ("/grpc.health.v1.Health/Watch", ANYONE),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", READERS),
];

/// Who may call the RPC of that path; `None` where there is no such RPC.
pub(crate) fn allowed(path: &str) -> Option<Allowed> {
    TABLE.iter().find(|(known, _)| *known == path).map(|(_, allowed)| *allowed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;

    fn rpcs(descriptor: &[u8]) -> BTreeSet<String> {
        let set = prost_types::FileDescriptorSet::decode(descriptor).unwrap();
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        paths
    }

    #[test]
    fn every_rpc_is_in_the_table_and_nothing_else() {
        let mut served = rpcs(lockgate_proto::v1::DESCRIPTOR_SET);
        served.extend(rpcs(tonic_health::pb::FILE_DESCRIPTOR_SET));
        served.extend(rpcs(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
        let listed: BTreeSet<_> = TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, served);
        assert_eq!(listed.len(), TABLE.len(), "an RPC is listed twice");
    }

    #[test]
    fn what_is_not_in_the_table_is_not_allowed() {
        for path in ["", "/", "/lockgate.v1.PolicyService/", "/lockgate.v1.PolicyService/publishpolicy"] {
            assert_eq!(allowed(path), None, "{path}");
        }
    }

    #[test]
    fn only_admins_change_policies_and_only_proxies_use_approvals() {
        let table = |path| allowed(path).unwrap();
        assert_eq!(table("/lockgate.v1.PolicyService/PublishPolicy").roles, [Role::Admin]);
        assert!(table("/lockgate.v1.ApprovalService/RedeemApproval").roles.is_empty());
        assert!(!table("/lockgate.v1.ApprovalService/DecideApproval").proxies);
    }

    #[test]
    fn roles_come_from_groups() {
        let groups =
            RoleGroups { approver: vec!["release".into()], admin: vec!["sre".into()], ..Default::default() };
        let roles =
            |names: &[&str]| groups.roles(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(roles(&[]), []);
        assert_eq!(roles(&["dev"]), []);
        assert_eq!(roles(&["release", "sre"]), [Role::Approver, Role::Admin]);
    }
}
