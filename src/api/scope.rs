//! The scopes that operations need, as types.

use crate::domain::Scope;

/// What an operation needs.
pub trait Needs: Send + Sync {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($scope:ident),*) => {$(
        #[doc = concat!("[`Scope::", stringify!($scope), "`]")]
        pub enum $scope {}

        impl Needs for $scope {
            const SCOPE: Scope = Scope::$scope;
        }
    )*};
}

scopes!(Read, Operate, Backup, Admin);
