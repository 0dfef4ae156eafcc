package access

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// admitted is a call that was let through.
type admitted struct {
	caller Caller
	scope  scope
}

// admit finds out who calls a method and whether they may at all; for what they may call
// it, the request tells.
func (g *Guard) admit(ctx context.Context, method string, rule Rule, known bool, p *policy) (admitted, error) {
	c, err := g.authenticate(ctx, p)
	if err != nil {
		return admitted{}, err
	}
	if !c.isEdge() {
		if wait := g.pace.wait(c, p.limit, g.options.Now()); wait > 0 {
			return admitted{caller: c}, tooMany(c, wait)
		}
	}
	s, may := c.scope(rule)
	if !known || !may {
		takes := ""
		if known && rule.Least != None {
			takes = ", which takes " + rule.Least.String()
		}
		return admitted{caller: c}, denied("Caller " + c.Name + " has " + c.roles() + ", which may not call " + method + takes + "; an administrator gives roles in callers.")
	}
	return admitted{caller: c, scope: s}, nil
}

func outside(c Caller, asked target) error {
	if asked.connector == "" {
		return denied("Caller " + c.Name + " may call this for some connectors only; name one of them.")
	}
	return denied("Caller " + c.Name + " may not call this for the connector that the request names; an administrator gives roles in callers.")
}

// ended is what a stream is told whose caller's proof ends while it goes on.
func ended(c Caller) error {
	return unauthenticated("What caller " + c.Name + " showed has expired since; call again with something new.")
}

// Unary is a grpc.UnaryServerInterceptor. It must come before everything that acts.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	rule, known := g.rules[info.FullMethod]
	if rule.Public {
		return handler(ctx, req)
	}
	asked := targetOf(req, rule)
	call, err := g.admit(ctx, info.FullMethod, rule, known, g.policy.Load())
	if err == nil && !call.scope.admits(req, rule, asked) {
		err = outside(call.caller, asked)
	}
	if filled := fills(req, rule.Believed); err == nil && !call.caller.isEdge() && filled != "" {
		err = denied("Caller " + call.caller.Name + " may not fill " + filled + "; what Alvao's application tells comes by the gateway alone, which checks its signature.")
	}
	var answer any
	if err == nil {
		call.scope.askNames(req, rule)
		answer, err = handler(ctx, req)
	}
	if err == nil {
		var whole bool
		if answer, whole = call.scope.filter(answer, rule, asked); !whole {
			answer, err = nil, outside(call.caller, asked)
		}
	}
	// What was refused for want of a name has nobody to write down; the gateway's events
	// are in the log as calls.
	if rule.Writes && call.caller.Name != "" && !call.caller.isEdge() {
		g.audit(ctx, call.caller, info.FullMethod, asked, status.Code(err).String(), numbers(req)...)
	}
	return answer, err
}

// Stream is a grpc.StreamServerInterceptor. It must come before everything that acts. A
// stream ends when its caller may no longer call.
func (g *Guard) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	rule, known := g.rules[info.FullMethod]
	if rule.Public {
		return handler(srv, stream)
	}
	p := g.policy.Load()
	call, err := g.admit(stream.Context(), info.FullMethod, rule, known, p)
	if err != nil {
		return err
	}
	if !call.caller.isEdge() {
		if !g.pace.open(call.caller) {
			return tooManyStreams(call.caller)
		}
		defer g.pace.close(call.caller)
	}
	ctx, cancel := stream.Context(), func() {}
	if end := call.caller.Expires; !end.IsZero() {
		ctx, cancel = context.WithTimeout(ctx, end.Sub(g.options.Now()))
	}
	defer cancel()
	guarded := &guardedStream{ServerStream: stream, ctx: ctx, guard: g, rule: rule, method: info.FullMethod, call: call, policy: p}
	err = handler(srv, guarded)
	if ctx.Err() != nil && stream.Context().Err() == nil {
		err = ended(call.caller)
	}
	if rule.Writes && !call.caller.isEdge() {
		g.audit(stream.Context(), call.caller, info.FullMethod, guarded.asked, status.Code(err).String())
	}
	return err
}

// guardedStream checks every message of a stream. It is used as a ServerStream is: by one
// goroutine that sends and one that receives.
type guardedStream struct {
	grpc.ServerStream

	ctx    context.Context //nolint:containedctx // gRPC hands a stream's context over in this way
	guard  *Guard
	rule   Rule
	method string
	call   admitted
	asked  target
	policy *policy
}

// Context implements grpc.ServerStream.
func (s *guardedStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	s.asked = targetOf(m, s.rule)
	if !s.call.scope.admits(m, s.rule, s.asked) {
		return outside(s.call.caller, s.asked)
	}
	return nil
}

// SendMsg implements grpc.ServerStream. Who may call is asked again when that was
// configured anew; a message outside the caller's scope is left out.
func (s *guardedStream) SendMsg(m any) error {
	if now := s.guard.policy.Load(); now != s.policy {
		c, err := s.guard.authenticate(s.ServerStream.Context(), now)
		if err != nil {
			return err
		}
		within, may := c.scope(s.rule)
		if !may {
			return denied("Caller " + c.Name + " may no longer call " + s.method + ".")
		}
		s.policy, s.call.scope = now, within
	}
	if end := s.call.caller.Expires; !end.IsZero() && !s.guard.options.Now().Before(end) {
		return ended(s.call.caller)
	}
	seen, fits := s.call.scope.filter(m, s.rule, s.asked)
	if !fits {
		return nil
	}
	return s.ServerStream.SendMsg(seen)
}
