//! A user, which may be a bot (C14.1).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::portal::wire::lenient::{Fields, Unreadable};

/// A user of the portal. Bots are users too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Id in the portal; also the dialog id of the private dialog with this user.
    pub id: i64,
    /// Not dismissed.
    pub active: Option<bool>,
    /// Full name.
    pub name: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Position at work.
    pub work_position: Option<String>,
    /// `#rrggbb`.
    pub color: Option<String>,
    /// Address of the picture; none when there is no picture.
    pub avatar: Option<String>,
    /// `M` or `F`.
    pub gender: Option<String>,
    /// `DD-MM`.
    pub birthday: Option<String>,
    /// A guest from outside the company.
    pub extranet: Option<bool>,
    /// A bot.
    pub bot: Option<bool>,
    /// A visitor of an open channel.
    pub connector: Option<bool>,
    /// `default`, `bot`, `email`, `replica`, or others.
    pub external_auth_id: Option<String>,
    /// `online`, `dnd`, or others.
    pub status: Option<String>,
    /// Away since. Unknown in events.
    pub idle: Option<Timestamp>,
    /// Last seen. Unknown in events.
    pub last_activity_date: Option<Timestamp>,
    /// Last seen with the mobile application. Unknown in events.
    pub mobile_last_date: Option<Timestamp>,
    /// Last seen with the desktop application. Unknown in events.
    pub desktop_last_date: Option<Timestamp>,
    /// Begin of an absence.
    pub absent: Option<Timestamp>,
    /// Ids of departments.
    pub departments: Vec<i64>,
    /// Phone numbers by kind: `personalPhone`, `workPhone`, and others.
    pub phones: Map<String, Value>,
    /// `employee`, `extranet`, `email`, `collaber`, `bot`, or a later type.
    pub kind: Option<String>,
    /// Web site.
    pub website: Option<String>,
    /// Mail address.
    pub email: Option<String>,
}

impl User {
    /// Reads a user.
    ///
    /// # Errors
    /// When it is no object or has no `id`.
    pub fn from_value(value: &Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(value)?;
        Ok(Self {
            id: fields.require_int("id")?,
            active: fields.flag("active"),
            name: fields.text("name"),
            first_name: fields.text("firstName"),
            last_name: fields.text("lastName"),
            work_position: fields.text("workPosition"),
            color: fields.filled("color"),
            avatar: fields.filled("avatar"),
            gender: fields.filled("gender"),
            birthday: fields.filled("birthday"),
            extranet: fields.flag("extranet"),
            bot: fields.flag("bot"),
            connector: fields.flag("connector"),
            external_auth_id: fields.filled("externalAuthId"),
            status: fields.filled("status"),
            idle: fields.time("idle"),
            last_activity_date: fields.time("lastActivityDate"),
            mobile_last_date: fields.time("mobileLastDate"),
            desktop_last_date: fields.time("desktopLastDate"),
            absent: fields.time("absent"),
            departments: fields.ints("departments"),
            phones: fields.map("phones"),
            kind: fields.filled("type"),
            website: fields.filled("website"),
            email: fields.filled("email"),
        })
    }
}
