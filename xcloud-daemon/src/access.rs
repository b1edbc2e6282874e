//! Who may do what: certificates and their renewal, roles by a certificate's name, the one gate that every call passes, limits
//! on what strangers can take, and the privileges that this process itself gives up.

pub mod bucket;
pub mod caller;
pub mod confine;
pub mod connection;
pub mod credentials;
pub mod door;
pub mod entrance;
pub mod gate;
pub mod grant;
pub mod health;
pub mod material;
pub mod peer;
pub mod privileges;
pub mod refusals;
pub mod role;
pub mod rules;
pub mod seats;
pub mod serving;
pub mod speaker;
pub mod verify;
