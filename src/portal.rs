//! How we call a portal.
