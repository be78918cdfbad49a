//! A simulated Bitrix24 portal.
