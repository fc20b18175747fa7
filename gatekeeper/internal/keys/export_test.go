package keys

// The parts that tests look at.
const (
	LoadTimeout = loadTimeout
	SignTimeout = signTimeout
)

// Within lets tests run calls of other services.
var Within = within[string] //nolint:gochecknoglobals // for tests only
