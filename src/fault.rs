//! What every failure must be able to say about itself.
//!
//! Errors are typed where they arise; this is the one closed set of questions the edge asks any of
//! them: what can the caller do, whose fault is it, and *did the call run*. Only the gRPC edge turns
//! the answers into status codes.

use std::{error, fmt, time::Duration};

/// What a caller can do about a failure. Deliberately smaller than gRPC's list of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request breaks a rule whatever the state of the system.
    Invalid,
    /// Something named in the request does not exist.
    Missing,
    /// The thing to be made exists already and belongs to someone else.
    Exists,
    /// The portal or our policy does not allow this.
    Denied,
    /// Nothing proves who the caller is.
    Unproven,
    /// The system is not in a state in which this can be done.
    Unready,
    /// A cursor or page points outside what is kept.
    OutOfRange,
    /// A budget is used up; waiting helps.
    Exhausted,
    /// The deadline passed before anything was sent.
    Late,
    /// The call surely did not run; repeating it may help. A relay that lost its gateway says so too,
    /// as clients do of a lost connection, and [`Executed::Unknown`] with it.
    Unavailable,
    /// The call may have run.
    Ambiguous,
    /// The portal does not have this method.
    Unsupported,
    /// A fault of ours.
    Internal,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The request was wrong.
    Caller,
    /// We failed.
    Gateway,
    /// Bitrix24 refused or failed.
    Portal,
}

impl Origin {
    /// The published spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::Portal => "portal",
        }
    }
}

/// Whether the operation took place in the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// Surely not: a repeat cannot duplicate anything.
    No,
    /// Surely.
    Yes,
    /// Nobody can tell.
    Unknown,
}

impl Executed {
    /// The published spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }
}

/// One broken rule of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field as in the proto, e.g. `message.keyboard.buttons[2].text`.
    pub field: String,
    /// The rule, as a sentence a developer can act on.
    pub rule: String,
}

impl Violation {
    /// A rule broken by a field.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

/// The closed questions every error answers.
pub trait Fault: error::Error + Send + Sync + 'static {
    /// What the caller can do.
    fn kind(&self) -> Kind;

    /// The published name of the failure.
    fn reason(&self) -> Reason;

    /// Whose fault it is.
    fn origin(&self) -> Origin;

    /// Did the operation take place?
    fn executed(&self) -> Executed;

    /// The portal's own error code, verbatim.
    fn portal_code(&self) -> Option<&str> {
        None
    }

    /// The portal the call was for.
    fn portal(&self) -> Option<&str> {
        None
    }

    /// The Bitrix24 method that failed.
    fn method(&self) -> Option<&str> {
        None
    }

    /// How long to wait before a repeat makes sense.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Which fields broke which rules.
    fn violations(&self) -> &[Violation] {
        &[]
    }
}

macro_rules! reasons {
    ($($variant:ident = $name:literal,)*) => {
        /// The published reasons of failure. Mirrors the proto enum `ErrorReason`, whose comments
        /// are their documentation; a test holds the two equal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "documented once, in errors.proto")]
        pub enum Reason { $($variant,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The published name, without the enum's prefix.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    InvalidRequest = "INVALID_REQUEST",
    UnknownPortal = "UNKNOWN_PORTAL",
    NoDefaultPortal = "NO_DEFAULT_PORTAL",
    UnknownBot = "UNKNOWN_BOT",
    BotOwnedByAnotherCaller = "BOT_OWNED_BY_ANOTHER_CALLER",
    CallerUnauthenticated = "CALLER_UNAUTHENTICATED",
    CallerDenied = "CALLER_DENIED",
    QuotaExceeded = "QUOTA_EXCEEDED",
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
    ForeignCursor = "FOREIGN_CURSOR",
    CursorExpired = "CURSOR_EXPIRED",
    UnknownEvent = "UNKNOWN_EVENT",
    AckIdExpired = "ACK_ID_EXPIRED",
    UnknownSubscription = "UNKNOWN_SUBSCRIPTION",
    SubscriptionDiffers = "SUBSCRIPTION_DIFFERS",
    AnswerWindowClosed = "ANSWER_WINDOW_CLOSED",
    AnswerOutcomeUnknown = "ANSWER_OUTCOME_UNKNOWN",
    RenameNotApplied = "RENAME_NOT_APPLIED",
    IncompleteProperties = "INCOMPLETE_PROPERTIES",
    OutcomeUnknown = "OUTCOME_UNKNOWN",
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    DeadlineTooShort = "DEADLINE_TOO_SHORT",
    QueueFull = "QUEUE_FULL",
    GatewayStopping = "GATEWAY_STOPPING",
    GatewayNotReady = "GATEWAY_NOT_READY",
    StoreUnavailable = "STORE_UNAVAILABLE",
    InternalError = "INTERNAL_ERROR",
    PortalThrottled = "PORTAL_THROTTLED",
    PortalOperatingLimit = "PORTAL_OPERATING_LIMIT",
    PortalParked = "PORTAL_PARKED",
    PortalUnreachable = "PORTAL_UNREACHABLE",
    PortalGone = "PORTAL_GONE",
    PortalPlanWithoutRest = "PORTAL_PLAN_WITHOUT_REST",
    ReauthorizationRequired = "REAUTHORIZATION_REQUIRED",
    InsufficientScope = "INSUFFICIENT_SCOPE",
    MethodConfirmationRequired = "METHOD_CONFIRMATION_REQUIRED",
    MethodNotSupported = "METHOD_NOT_SUPPORTED",
    PaymentRequired = "PAYMENT_REQUIRED",
    ApplicationNotInstalled = "APPLICATION_NOT_INSTALLED",
    BotNotFound = "BOT_NOT_FOUND",
    BotCodeTaken = "BOT_CODE_TAKEN",
    BotTokenRejected = "BOT_TOKEN_REJECTED",
    BotLimitExceeded = "BOT_LIMIT_EXCEEDED",
    CommandNotFound = "COMMAND_NOT_FOUND",
    CommandExists = "COMMAND_EXISTS",
    MessageNotFound = "MESSAGE_NOT_FOUND",
    ChatNotFound = "CHAT_NOT_FOUND",
    AccessDenied = "ACCESS_DENIED",
    PortalRefused = "PORTAL_REFUSED",
    UnreadableAnswer = "UNREADABLE_ANSWER",
    UnreadableRequest = "UNREADABLE_REQUEST",
    UnknownRpc = "UNKNOWN_RPC",
    ApplicationRefused = "APPLICATION_REFUSED",
    AuthorizationServerUnavailable = "AUTHORIZATION_SERVER_UNAVAILABLE",
    Restored = "RESTORED",
    BotTokenRotationNotSupported = "BOT_TOKEN_ROTATION_NOT_SUPPORTED",
    BotTokenRotationFailed = "BOT_TOKEN_ROTATION_FAILED",
    BotTokenChanging = "BOT_TOKEN_CHANGING",
    WebhookExpired = "WEBHOOK_EXPIRED",
    NoPublicUrl = "NO_PUBLIC_URL",
    EventsNotDrained = "EVENTS_NOT_DRAINED",
    ApplicationTokenUnknown = "APPLICATION_TOKEN_UNKNOWN",
    UpstreamUnreachable = "UPSTREAM_UNREACHABLE",
}

/// Shows an error with its causes, for logs.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
