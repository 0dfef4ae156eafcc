package access

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// refuse makes a status with a reason, as package api does.
func refuse(code codes.Code, why tandemv1.ErrorReason, text string, details ...protoadapt.MessageV1) error {
	st := status.New(code, text)
	info := &errdetails.ErrorInfo{Reason: strings.TrimPrefix(why.String(), "ERROR_REASON_"), Domain: "tandem.v1"}
	with, err := st.WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		return st.Err()
	}
	return with.Err()
}

func unauthenticated(text string) error {
	return refuse(codes.Unauthenticated, tandemv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, text)
}

func denied(text string) error {
	return refuse(codes.PermissionDenied, tandemv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, text)
}

func tooMany(c Caller, wait time.Duration) error {
	return refuse(codes.ResourceExhausted, tandemv1.ErrorReason_ERROR_REASON_RATE_LIMITED,
		"Caller "+c.Name+" calls more often than callers.limit allows; wait "+wait.Round(time.Millisecond).String()+".",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
}

func tooManyStreams(c Caller) error {
	const soon = time.Minute
	return refuse(codes.ResourceExhausted, tandemv1.ErrorReason_ERROR_REASON_RATE_LIMITED,
		"Caller "+c.Name+" has "+strconv.Itoa(streamsEach)+" streams open, which is the most; close one of them.",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(soon)})
}
