//! What a login sends: JSON, or the OAuth2 password form.

use poem::{Error, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object};

use super::fields::{Fields, Readable, bytes_of, is_json, media_type_of};
use super::object::Object as JsonObject;
use super::problem::Problem;
use crate::auth::password::TypedPassword;
use crate::domain::one_time_code::split_password;
use crate::domain::{NewPassword, TypedCode, Username};

/// Name and password.
#[derive(Object)]
#[oai(rename = "Login", example)]
pub struct LoginDocument {
    /// Name of the admin; upper and lower case are the same.
    username: String,
    /// The admin's password.
    password: String,
    /// Where the admin has a second factor: six digits of the authenticator
    /// app, with or without spaces, or a recovery code.
    #[oai(skip_serializing_if_is_none)]
    otp: Option<String>,
}

impl poem_openapi::types::Example for LoginDocument {
    fn example() -> Self {
        Self { username: "sysadmin".to_owned(), password: "<your password>".to_owned(), otp: None }
    }
}

/// Name and password as an OAuth2 password grant (RFC 6749, section 4.3.2).
#[derive(Object)]
#[oai(rename = "PasswordGrant")]
pub struct GrantDocument {
    /// `password`, where it is given.
    grant_type: Option<String>,
    /// Name of the admin; upper and lower case are the same.
    username: String,
    /// The admin's password. Where the admin has a second factor, a space and
    /// the code follow it: `my password 123456`.
    password: String,
    /// Ignored: there is one role.
    scope: Option<String>,
    /// Ignored: clients are not registered.
    client_id: Option<String>,
    /// Ignored: clients are not registered.
    client_secret: Option<String>,
}

/// A login, by JSON or by form.
pub struct Login {
    pub(super) username: Username,
    password: TypedPassword,
    code: Code,
}

/// Where the code of the second factor is.
enum Code {
    /// In a field of its own.
    Field(Option<TypedCode>),
    /// Behind the password, where the admin has a second factor.
    BehindPassword,
}

impl Login {
    /// The password, and the code of an admin who needs one.
    pub(super) fn proofs(self, needs_code: bool) -> (TypedPassword, Option<TypedCode>) {
        match self.code {
            Code::Field(code) => (self.password, code),
            Code::BehindPassword if needs_code => {
                let (password, code) = split_password(&self.password.0);
                (TypedPassword(password.to_owned()), code)
            }
            Code::BehindPassword => (self.password, None),
        }
    }
}

struct AnyPassword(String);

impl std::str::FromStr for AnyPassword {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.len() {
            1..=NewPassword::MAX_BYTES => Ok(Self(text.to_owned())),
            _ => Err("must be 1 to 1024 bytes"),
        }
    }
}

impl Readable for Login {
    type Document = LoginDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username");
        let password = fields.required::<AnyPassword>("password");
        let code = Code::Field(fields.optional("otp"));
        Some(Self { username: username?, password: TypedPassword(password?.0), code })
    }
}

/// A login whose form may carry what OAuth2 clients send besides.
struct Grant(Login);

impl Readable for Grant {
    type Document = GrantDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        if fields
            .optional::<String>("grant_type")
            .is_some_and(|grant| !grant.is_empty() && grant != "password")
        {
            fields.refuse("grant_type", "must be password");
        }
        for field in ["scope", "client_id", "client_secret"] {
            fields.ignore(field);
        }
        let login = Login::read(fields)?;
        Some(Self(Login { code: Code::BehindPassword, ..login }))
    }
}

impl<'a> ApiExtractor<'a> for Login {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        LoginDocument::register(registry);
        GrantDocument::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let media = |content_type, schema| MetaMediaType { content_type, schema };
        Some(MetaRequest {
            description: None,
            content: vec![
                media("application/json", LoginDocument::schema_ref()),
                media("application/x-www-form-urlencoded", GrantDocument::schema_ref()),
            ],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self, Error> {
        let media_type = media_type_of(request);
        let bytes = bytes_of(body).await?;
        if is_json(&media_type) {
            Ok(Fields::read(JsonObject::read(&bytes, None)?)?)
        } else if media_type == "application/x-www-form-urlencoded" {
            Ok(Fields::read::<Grant>(form_of(&bytes)?)?.0)
        } else {
            let problem = Problem::unsupported_media_type();
            Err(Problem {
                detail: "send JSON or a form (application/x-www-form-urlencoded)".to_owned(),
                ..problem
            }
            .into())
        }
    }
}

fn form_of(bytes: &[u8]) -> Result<JsonObject, Problem> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|_| Problem::malformed("the body is not a valid form"))?;
    JsonObject::of_form(pairs)
}
