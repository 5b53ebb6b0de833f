package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A Token is an open token, with a user logged in if there is a PIN. It is safe
// for concurrent use, and several keyrings may share it.
//
// If the token or its sessions are lost, for instance when its service
// restarts, the call that notices it connects again, logs in and tries once
// more. If that fails, too, the call returns the error, and the next call tries
// again.
//
// In PKCS #11, the whole program shares a login: while another Token for the
// same token is open, the PIN of a second one isn't checked.
type Token struct {
	config Config
	uri    *URI
	module *module
	info   tokenInfo // as of Open; read-only

	free chan struct{} // one element for each session in use
	done chan struct{} // closed by Close
	once sync.Once

	// lock guards the fields below. It is a channel, since a login may wait for
	// a user, and callers that wait for the lock must be able to give up.
	lock       chan struct{}
	generation int    // of the connection; 0 is none
	connected  bool   // whether the connection of this generation is good
	slot       uint   // of the token
	anchor     uint   // a session that keeps the login while no other is open
	state      uint   // of the anchor after the login
	idle       []uint // open sessions of this generation
	inUse      int    // sessions of any generation in use by calls
	refused    error  // the error of a refused login; then there are no more
}

// A session is a session of a token, in use by one call.
type session struct {
	*module
	handle     uint
	generation int
	state      uint // its state while the login lasts
	spent      bool // close it after the call in any case
}

// Open finds a token, opens a session and logs in. Call [Token.Close] when
// done. It fails with [ErrNoToken], [ErrAmbiguous], [ErrPIN], [ErrNoCgo], an
// [*Error], or the error of Config.PIN.
func Open(ctx context.Context, c Config) (*Token, error) {
	uri := &URI{}
	if c.URI != "" {
		var err error
		if uri, err = ParseURI(c.URI); err != nil {
			return nil, err
		}
	}
	if c.Token != "" && uri.Token != "" && c.Token != uri.Token {
		return nil, errors.New("pkcs11: the URI names another token than the configuration")
	}
	if c.Token != "" {
		uri.Token = c.Token
	}
	if c.Module == "" {
		c.Module = uri.ModulePath
	}
	if c.PIN == nil {
		c.PIN = uri.pin()
	}
	if c.Sessions == 0 {
		c.Sessions = defaultSessions
	}
	switch {
	case c.Module == "":
		return nil, errors.New("pkcs11: no module given: the token's library is needed")
	case c.Sessions < 0:
		return nil, fmt.Errorf("pkcs11: %d sessions", c.Sessions)
	}
	m, err := openModule(c.Module)
	if err != nil {
		return nil, err
	}
	return open(ctx, c, uri, m)
}

// open takes ownership of the module.
func open(ctx context.Context, c Config, uri *URI, m *module) (*Token, error) {
	t := &Token{
		config: c, uri: uri, module: m,
		free: make(chan struct{}, c.Sessions), done: make(chan struct{}), lock: make(chan struct{}, 1),
	}
	if err := t.connect(ctx); err != nil {
		m.close()
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	return t, nil
}

// Close waits for calls in progress, and closes the sessions, which ends the
// login. Later calls fail with [ErrClosed].
func (t *Token) Close() error {
	var err error
	t.once.Do(func() {
		close(t.done)
		for range cap(t.free) {
			t.free <- struct{}{}
		}
		t.lock <- struct{}{}
		t.disconnect()
		err = t.module.close()
	})
	return err
}

// do calls f with a session, and once more with a new one if the session or the
// token was lost.
func (t *Token) do(ctx context.Context, f func(*session) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-t.done:
		return ErrClosed
	default:
	}
	select {
	case t.free <- struct{}{}:
		defer func() { <-t.free }()
	case <-t.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	lostGeneration, err := t.try(ctx, f)
	if err == nil || !isLost(err) {
		return err
	}
	if err := t.forget(ctx, lostGeneration); err != nil {
		return err
	}
	_, err = t.try(ctx, f)
	return err
}

func (t *Token) try(ctx context.Context, f func(*session) error) (generation int, err error) {
	s, err := t.acquire(ctx)
	if err != nil {
		return s.generation, err
	}
	err = f(s)
	t.release(s, err)
	return s.generation, err
}

func (t *Token) locked(ctx context.Context) error {
	select {
	case t.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Token) unlock() { <-t.lock }

// acquire returns a session, with its generation even if it fails.
func (t *Token) acquire(ctx context.Context) (*session, error) {
	s := &session{module: t.module}
	if err := t.locked(ctx); err != nil {
		return s, err
	}
	defer t.unlock()
	if !t.connected {
		if err := t.connect(ctx); err != nil {
			s.generation = t.generation
			return s, err
		}
	}
	s.generation, s.state = t.generation, t.state
	if n := len(t.idle); n > 0 {
		s.handle, t.idle = t.idle[n-1], t.idle[:n-1]
	} else {
		handle, err := t.module.openSession(t.slot)
		if err != nil {
			return s, err
		}
		s.handle = handle
	}
	t.inUse++
	return s, nil
}

// release keeps a session for the next call, unless its state may differ from
// the state of a new one.
func (t *Token) release(s *session, err error) {
	t.lock <- struct{}{}
	defer t.unlock()
	t.inUse--
	if err == nil && !s.spent && s.generation == t.generation && t.connected {
		t.idle = append(t.idle, s.handle)
		return
	}
	// The handle of a lost session may belong to another one by now.
	if !hasCode(err, ckrSessionHandleInvalid, ckrSessionClosed, ckrNotInitialized) {
		t.module.closeSession(s.handle)
	}
}

// forget drops a connection that lost a session, unless somebody else has
// already done so.
func (t *Token) forget(ctx context.Context, generation int) error {
	if err := t.locked(ctx); err != nil {
		return err
	}
	defer t.unlock()
	if t.generation == generation {
		t.disconnect()
	}
	return nil
}

// disconnect needs the lock. It ignores errors, since the sessions may be gone.
func (t *Token) disconnect() {
	if !t.connected {
		return
	}
	for _, s := range append(t.idle, t.anchor) {
		t.module.closeSession(s)
	}
	t.idle, t.connected = nil, false
}

// connect finds the token, opens the session that keeps the login, and logs in.
// It needs the lock, except for a Token that isn't shared yet.
func (t *Token) connect(ctx context.Context) error {
	if t.refused != nil {
		return t.refused
	}
	info, err := t.findToken()
	switch {
	case hasCode(err, ckrNotInitialized):
		if err := t.module.reinitialize(); err != nil {
			// SoftHSM can't be initialized without the directory of its tokens.
			return fmt.Errorf("%w: %w", ErrNoToken, err)
		}
		info, err = t.findToken()
	case errors.Is(err, ErrNoToken) && t.generation > 0 && t.inUse == 0 && t.module.restart():
		info, err = t.findToken()
	}
	if err != nil {
		return err
	}
	anchor, err := t.module.openSession(info.slot)
	if err != nil {
		return err
	}
	state, err := t.logIn(ctx, anchor)
	if err != nil {
		t.module.closeSession(anchor)
		return err
	}
	if t.generation++; t.generation == 1 {
		t.info = info
	}
	t.slot, t.anchor, t.state, t.connected = info.slot, anchor, state, true
	return nil
}

func (t *Token) findToken() (tokenInfo, error) {
	tokens, err := t.module.tokens()
	if err != nil {
		return tokenInfo{}, err
	}
	all := len(tokens)
	tokens = slices.DeleteFunc(tokens, func(i tokenInfo) bool { return !t.uri.matches(&i) })
	switch len(tokens) {
	case 0:
		return tokenInfo{}, fmt.Errorf("%w among %d of %s", ErrNoToken, all, t.module.path)
	case 1:
		return tokens[0], nil
	}
	return tokenInfo{}, fmt.Errorf("%w: %d tokens of %s; give the serial number", ErrAmbiguous, len(tokens), t.module.path)
}

// logIn returns the state of sessions while the login lasts.
func (t *Token) logIn(ctx context.Context, anchor uint) (state uint, err error) {
	if err := t.login(ctx, anchor); err != nil {
		return 0, err
	}
	return t.module.state(anchor)
}

// checkLogin returns an error that isLost recognizes if the login is gone.
func (s *session) checkLogin() error {
	state, err := s.module.state(s.handle)
	if err == nil && state != s.state {
		return &Error{Call: "C_GetSessionInfo", Code: ckrUserNotLoggedIn, Name: "CKR_USER_NOT_LOGGED_IN"}
	}
	return err
}

// login asks for the PIN. It doesn't try a refused PIN again.
func (t *Token) login(ctx context.Context, session uint) error {
	if t.config.PIN == nil {
		return nil
	}
	pin, err := t.config.PIN(ctx)
	defer clear(pin)
	switch {
	case err != nil:
		return fmt.Errorf("PIN: %w", err)
	case pin == nil:
		return errors.New("PIN: Config.PIN returned neither a PIN nor an error")
	}
	err = t.module.login(session, pin)
	switch {
	case hasCode(err, ckrUserAlreadyLoggedIn):
		return nil
	case hasCode(err, ckrPINIncorrect, ckrPINInvalid, ckrPINLenRange, ckrPINExpired, ckrPINLocked):
		t.refused = fmt.Errorf("%w: %w", ErrPIN, err)
		return t.refused
	}
	return err
}

// proofsOfLoss are the codes that prove that a session, the login or the token
// is gone: the standard lists them for C_Decrypt, with meanings that no
// ciphertext can cause. A code that isn't listed there proves nothing, even if
// its name suggests it. Calls with a session never return CKR_TOKEN_NOT_PRESENT
// (the standard's "More on relative priorities of Cryptoki errors"): a token
// that returns it from C_Decrypt violates the standard, and may do so for a
// wrong padding.
var proofsOfLoss = []uint{
	ckrSessionHandleInvalid, // "at the time that the function was invoked", also after the token was removed
	ckrSessionClosed,        // "during the execution of the function"
	ckrDeviceRemoved,        // the token was removed "during the execution of the function"
	ckrUserNotLoggedIn,      // the login is gone
	ckrNotInitialized,       // the library was finalized
}

// signsOfLoss are codes of other calls after which a second attempt can help.
var signsOfLoss = []uint{
	ckrOperationActive, ckrDeviceError, ckrTokenNotPresent, ckrTokenNotRecognized, ckrSlotIDInvalid,
	ckrKeyHandleInvalid, ckrObjectHandleInvalid,
}

// isLost reports whether an error means that a session, the login, the token or
// the handle of a key is gone, so that a second attempt can help. The answer of
// C_Decrypt may depend on a ciphertext chosen by an attacker, who must not
// learn it from a new login or a second call.
func isLost(err error) bool {
	return hasCode(err, proofsOfLoss...) || !isVerdict(err) && hasCode(err, signsOfLoss...)
}

// isVerdict reports whether an error may be the token's answer to a ciphertext:
// C_Decrypt returned it, and it doesn't prove a loss.
func isVerdict(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Call == callDecrypt && !slices.Contains(proofsOfLoss, e.Code)
}

func hasCode(err error, codes ...uint) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(codes, e.Code)
}
