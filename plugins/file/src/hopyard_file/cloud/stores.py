"""Object stores by obstore: their settings, and opening one that tasks may reach. Backups use them, too."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from hopyard import PluginSettings
from hopyard.fields import BaseUrl
from pydantic import AfterValidator, Field, SecretStr, model_validator

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["AzureBlobs", "GoogleBucket", "S3Bucket", "Store", "open_store"]


def _prefix(value: str) -> str:
    parts = value.strip("/").split("/")
    if value.strip("/") and {"", ".", ".."}.intersection(parts):
        raise ValueError("expected names with / between them")
    return value.strip("/")


#: An address that nothing but paths is put behind.
Url = Annotated[BaseUrl, AfterValidator(lambda value: value.rstrip("/"))]
Prefix = Annotated[str, AfterValidator(_prefix)]


class S3Bucket(PluginSettings):
    """A bucket of S3, or of a server that speaks its protocol."""

    kind: Literal["s3"] = Field("s3", description="`s3`.")
    bucket: str = Field(min_length=3, max_length=63, description="The bucket.")
    prefix: Prefix = Field("", description="What all names in it begin with; all of the bucket unless given.")
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,40}$", description="The region.")
    endpoint: Url | None = Field(None, description="The server's address; Amazon's unless given.")
    access_key: SecretStr | None = Field(None, description="Without it the bucket is read as anybody may.")
    secret_key: SecretStr | None = Field(None, description="Belongs to `access_key`.")
    session_token: SecretStr | None = Field(None, description="Of temporary credentials.")
    md5_tags: bool = Field(
        True, description="Whether ETags are MD5 sums; not so where KMS encrypts what is stored."
    )
    create_only: bool = Field(
        True, description="Whether the server honours `If-None-Match`; some that speak S3 do not."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> S3Bucket:
        if (self.access_key is None) is not (self.secret_key is None):
            raise ValueError("expected `access_key` and `secret_key`, or neither")
        return self

    def address(self) -> str:
        """Return the server's address."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"

    def _open(self, client: Any, retry: Any) -> ObjectStore:
        from obstore.store import S3Store

        config: Any = {"virtual_hosted_style_request": False, "region": self.region}
        if self.access_key is None or self.secret_key is None:
            config["skip_signature"] = True
        else:
            config["access_key_id"] = self.access_key.get_secret_value()
            config["secret_access_key"] = self.secret_key.get_secret_value()
        if self.session_token is not None:
            config["session_token"] = self.session_token.get_secret_value()
        if not self.create_only:
            config["conditional_put"] = "disabled"
        return S3Store(
            self.bucket, endpoint=self.address(), config=config, client_options=client, retry_config=retry
        )


class AzureBlobs(PluginSettings):
    """A container of Azure Blob Storage."""

    kind: Literal["azure"] = Field(description="`azure`.")
    account: str = Field(pattern=r"^[a-z0-9]{3,24}$", description="The storage account.")
    container: str = Field(min_length=3, max_length=63, description="The container.")
    prefix: Prefix = Field("", description="What all names in it begin with.")
    endpoint: Url | None = Field(None, description="The server's address; Microsoft's unless given.")
    key: SecretStr = Field(description="The account's key.")

    def address(self) -> str:
        """Return the server's address."""
        return self.endpoint or f"https://{self.account}.blob.core.windows.net"

    def _open(self, client: Any, retry: Any) -> ObjectStore:
        from obstore.store import AzureStore

        return AzureStore(
            self.container,
            account_name=self.account,
            account_key=self.key.get_secret_value(),
            endpoint=self.address(),
            client_options=client,
            retry_config=retry,
        )


class GoogleBucket(PluginSettings):
    """A bucket of Google Cloud Storage."""

    kind: Literal["gcs"] = Field(description="`gcs`.")
    bucket: str = Field(min_length=3, max_length=222, description="The bucket.")
    prefix: Prefix = Field("", description="What all names in it begin with.")
    service_account: SecretStr = Field(description="The JSON key of a service account, as text.")

    def address(self) -> str:
        """Return the server's address."""
        return "https://storage.googleapis.com"

    def _open(self, client: Any, retry: Any) -> ObjectStore:
        from obstore.store import GCSStore

        return GCSStore(
            self.bucket,
            service_account_key=self.service_account.get_secret_value(),
            client_options=client,
            retry_config=retry,
        )


Store = Annotated[S3Bucket | AzureBlobs | GoogleBucket, Field(discriminator="kind")]


async def open_store(own: S3Bucket | AzureBlobs | GoogleBucket, timeout: float = 60.0) -> ObjectStore:
    """Return the store, once its address was judged. `timeout` is in seconds, for one request.

    Raises `EgressRefused`, and `TransientError` where the name of its host has no address.
    """
    await judge(own.address())
    client: Any = {
        "timeout": timedelta(seconds=timeout),
        "connect_timeout": timedelta(seconds=min(timeout, 10.0)),
        "allow_http": own.address().startswith("http://"),
    }
    retry: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=2 * timeout)}
    return own._open(client, retry)


async def judge(address: str) -> None:
    """Raise `EgressRefused` unless tasks may reach the host of an address.

    The libraries that connect to it resolve its name anew: who can change the answer of the name server in
    between, and only then, can lead them elsewhere.
    """
    from hopyard import Hopyard
    from hopyard.errors import TransientError

    parts = urlsplit(address)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    try:
        await Hopyard.current().egress.addresses(host, port)
    except OSError as error:
        raise TransientError(f"{host}: {error}") from error
