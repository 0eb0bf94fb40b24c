package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// advice says what to correct when the server refuses us because of a setting;
// empty when the cause is another, or is not known.
func (s *Store) advice(ctx context.Context, err error) string {
	set := s.opt.Setting
	last := lastAnswer(ctx)
	if region := last.header.Get("X-Amz-Bucket-Region"); region != "" && region != s.opt.Region && last.status >= http.StatusMultipleChoices {
		return fmt.Sprintf("the bucket is in the region %s: set %s=%s", region, set("Region"), region)
	}
	switch code(ctx, err) {
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "InvalidRegion", "IllegalLocationConstraintException":
		return fmt.Sprintf("the bucket is not in the region %q: correct %s, or %s", s.opt.Region, set("Region"), set("Endpoint"))
	case "RequestTimeTooSkewed":
		return "the clock of this machine is wrong" + skew(last.header) + ": correct it, for example with NTP"
	case "InvalidAccessKeyId", "NoSuchUser", "XAdminUserNotFound":
		return fmt.Sprintf("the server does not know the access key: correct %s", set("AccessKey"))
	case "SignatureDoesNotMatch":
		return fmt.Sprintf("the secret key does not fit the access key: correct %s", set("SecretKey"))
	case "ExpiredToken", "TokenRefreshRequired", "InvalidToken":
		return fmt.Sprintf("the session token of the credentials has expired or is wrong: renew AWS_SESSION_TOKEN, or set %s and %s", set("AccessKey"), set("SecretKey"))
	case "AccessDenied", "AllAccessDisabled":
		return fmt.Sprintf("the key of %s lacks rights on the bucket: it needs s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject", set("AccessKey"))
	case "InvalidBucketName":
		return fmt.Sprintf("the server takes no bucket of the name %q: correct %s", s.opt.Bucket, set("Bucket"))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is of an authority that this machine does not know: add it to the system's, or name its file in SSL_CERT_FILE"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the server's certificate is for another host: correct %s", set("Endpoint"))
	}
	switch text := err.Error(); {
	case strings.Contains(text, "server gave HTTP response to HTTPS client"), strings.Contains(text, "first record does not look like a TLS handshake"):
		return fmt.Sprintf("the server does not speak TLS: set %s=false", set("TLS"))
	case strings.Contains(text+last.text(), "HTTP request to an HTTPS server"), strings.Contains(text+last.text(), "plain HTTP request was sent to HTTPS port"):
		return fmt.Sprintf("the server speaks TLS only: set %s=true", set("TLS"))
	}
	return ""
}

// code is the server's word for what is wrong, from its last answer if the
// client's error does not have it.
func code(ctx context.Context, err error) string {
	if last := lastAnswer(ctx).errorResponse().Code; last != "" {
		return last
	}
	return minio.ToErrorResponse(err).Code
}

// skew says how far our clock is from that of the server, which each answer
// tells.
func skew(h http.Header) string {
	there, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return ""
	}
	off := time.Since(there).Round(time.Second)
	if off < 0 {
		return fmt.Sprintf(", %s behind that of the server", -off)
	}
	return fmt.Sprintf(", %s ahead of that of the server", off)
}
