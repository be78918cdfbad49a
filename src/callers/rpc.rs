//! Every RPC, and what a caller must be granted for it.
//!
//! A new RPC needs a line here, or nobody is let through to it; a test compares this table with the
//! published services.

/// What RPCs are granted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Needs no grant, only a known caller.
    Open,
    /// Looks at bots, commands and portals.
    Read,
    /// Speaks in the name of bots.
    Answer,
    /// Makes, changes and removes bots and commands.
    Manage,
    /// Reads events.
    Events,
    /// Changes what lets us in: for operators.
    Operate,
    /// Acts as the credential's owner: a grant of its own.
    Execute,
}

macro_rules! rpcs {
    ($($variant:ident in $service:literal for $group:ident,)*) => {
        /// An RPC of the published services.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "documented once, in the proto files")]
        pub enum Rpc { $($variant,)* }

        impl Rpc {
            /// Every RPC.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name without the service.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// Its name with the service, as a path without the slash in front.
            #[must_use]
            pub const fn full_name(self) -> &'static str {
                match self {
                    $(Self::$variant => {
                        concat!("bitrix24.gateway.v1.", $service, "/", stringify!($variant))
                    })*
                }
            }

            /// What grants it.
            #[must_use]
            pub const fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)* }
            }

            /// The RPC that a request path means.
            #[must_use]
            pub fn of_path(path: &str) -> Option<Self> {
                match path {
                    $(concat!("/bitrix24.gateway.v1.", $service, "/", stringify!($variant)) => {
                        Some(Self::$variant)
                    })*
                    _ => None,
                }
            }
        }
    };
}

rpcs! {
    RegisterBot in "BotService" for Manage,
    GetBot in "BotService" for Read,
    ListBots in "BotService" for Read,
    UpdateBot in "BotService" for Manage,
    UnregisterBot in "BotService" for Manage,
    RotateBotToken in "BotService" for Operate,
    ReleaseBot in "BotService" for Operate,
    RegisterCommand in "BotService" for Manage,
    UpdateCommand in "BotService" for Manage,
    ListCommands in "BotService" for Read,
    UnregisterCommand in "BotService" for Manage,
    AnswerCommand in "BotService" for Answer,
    ExecuteCommand in "BotService" for Execute,
    SubscribeCommandEvents in "BotService" for Events,
    SendMessage in "MessageService" for Answer,
    UpdateMessage in "MessageService" for Answer,
    DeleteMessage in "MessageService" for Answer,
    NotifyAction in "MessageService" for Answer,
    SubscribeEvents in "EventService" for Events,
    AcknowledgeEvents in "EventService" for Events,
    ModifyAckDeadlines in "EventService" for Events,
    ListSubscriptions in "EventService" for Events,
    GetSubscription in "EventService" for Events,
    DeleteSubscription in "EventService" for Events,
    ListSetAsideEvents in "EventService" for Events,
    RedriveEvents in "EventService" for Events,
    DropEvents in "EventService" for Events,
    ListPortals in "PortalService" for Read,
    GetPortal in "PortalService" for Read,
    WatchPortals in "PortalService" for Read,
    GetServerInfo in "ServerService" for Open,
}

impl Rpc {
    /// Whether it is a stream that goes on until somebody ends it.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(
            self,
            Self::SubscribeCommandEvents | Self::SubscribeEvents | Self::WatchPortals
        )
    }
}

/// Some RPCs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rpcs(u64);

/// The groups by the names they have in the configuration.
pub const GROUPS: [&str; 5] = ["read", "answer", "manage", "events", "operate"];

impl Rpcs {
    /// Reads a list of groups and RPCs; `*` stands for all groups.
    ///
    /// # Errors
    ///
    /// The first entry that is neither, and what is wrong with it.
    pub fn new<'a>(
        list: impl IntoIterator<Item = &'a str>,
        execute: bool,
    ) -> Result<Self, (String, &'static str)> {
        let mut rpcs = Self::default();
        rpcs.add(|rpc| rpc.group() == Group::Open);
        for entry in list {
            match entry {
                "*" => rpcs.add(|rpc| rpc.group() != Group::Execute),
                "read" => rpcs.add(|rpc| rpc.group() == Group::Read),
                "answer" => rpcs.add(|rpc| rpc.group() == Group::Answer),
                "manage" => rpcs.add(|rpc| rpc.group() == Group::Manage),
                "events" => rpcs.add(|rpc| rpc.group() == Group::Events),
                "operate" => rpcs.add(|rpc| rpc.group() == Group::Operate),
                "ExecuteCommand" => {
                    let rule = "acts as the owner of the portal's credential: set `execute = true`";
                    return Err((entry.to_owned(), rule));
                }
                name if Rpc::ALL.iter().any(|rpc| rpc.name() == name) => {
                    rpcs.add(|rpc| rpc.name() == name);
                }
                _ => return Err((entry.to_owned(), "is neither a group nor an RPC")),
            }
        }
        if execute {
            rpcs.add(|rpc| rpc.group() == Group::Execute);
        }
        Ok(rpcs)
    }

    /// Every RPC.
    #[must_use]
    pub fn all() -> Self {
        Self(u64::MAX)
    }

    /// Whether an RPC is among them.
    #[must_use]
    pub const fn has(self, rpc: Rpc) -> bool {
        self.0 & (1 << rpc as u64) != 0
    }

    fn add(&mut self, wanted: impl Fn(Rpc) -> bool) {
        for rpc in Rpc::ALL.iter().filter(|rpc| wanted(**rpc)) {
            self.0 |= 1 << *rpc as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str], execute: bool) -> Vec<&'static str> {
        let rpcs = Rpcs::new(list.iter().copied(), execute).unwrap();
        let granted = Rpc::ALL.iter().filter(|rpc| rpcs.has(**rpc));
        granted.map(|rpc| rpc.name()).collect()
    }

    #[test]
    fn groups_and_single_rpcs_add_up() {
        assert_eq!(names(&[], false), ["GetServerInfo"]);
        assert_eq!(
            names(&["events", "GetBot"], false),
            [
                "GetBot",
                "SubscribeCommandEvents",
                "SubscribeEvents",
                "AcknowledgeEvents",
                "ModifyAckDeadlines",
                "ListSubscriptions",
                "GetSubscription",
                "DeleteSubscription",
                "ListSetAsideEvents",
                "RedriveEvents",
                "DropEvents",
                "GetServerInfo",
            ]
        );
        assert_eq!(
            names(&["operate"], false),
            ["RotateBotToken", "ReleaseBot", "GetServerInfo"]
        );
    }

    #[test]
    fn execution_needs_its_own_grant() {
        let every = names(&["*"], false);
        assert_eq!(every.len(), Rpc::ALL.len() - 1);
        assert!(!every.contains(&"ExecuteCommand"));
        assert!(names(&["*"], true).contains(&"ExecuteCommand"));
        assert!(names(&[], true).contains(&"ExecuteCommand"));
        assert!(Rpcs::new(["ExecuteCommand"], true).is_err());
        assert!(Rpcs::new(["write"], false).is_err());
    }

    #[test]
    fn every_rpc_has_a_bit() {
        assert!(Rpc::ALL.len() <= 64);
    }
}
