package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// maxSecret is the size of the largest secret, in bytes.
const maxSecret = 64 << 10

// readSecret reads a secret from a file, without the newline at its end, or
// from the environment. An empty one is an error: it would let everybody in.
func readSecret(key, file, variable string) (string, error) {
	if file == "" {
		value := os.Getenv(variable)
		if value == "" {
			return "", fmt.Errorf("%sEnv: the environment variable %s is empty or not set", key, variable)
		}
		return value, nil
	}
	data, err := readLimited(file, maxSecret)
	if err != nil {
		return "", fmt.Errorf("%sFile: %w", key, err)
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("%sFile: %s has more than %d bytes", key, file, maxSecret)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("%sFile: %s is empty", key, file)
	}
	return value, nil
}

// Secret reads the secret that notifications have to carry.
func (n Notifications) Secret() (string, error) {
	return readSecret("secret", n.SecretFile, n.SecretEnv)
}

// Password reads the password; empty when there is none.
func (a Auth) Password() (string, error) {
	if a.PasswordFile == "" && a.PasswordEnv == "" {
		return "", nil
	}
	return readSecret("password", a.PasswordFile, a.PasswordEnv)
}

// Token reads the bearer token of the API; empty when there is none.
func (a Admin) Token() (string, error) {
	if a.TokenFile == "" && a.TokenEnv == "" {
		return "", nil
	}
	token, err := readSecret("token", a.TokenFile, a.TokenEnv)
	if err == nil && strings.ContainsAny(token, " \t\r\n") {
		return "", errors.New("tokenFile: a token has no spaces and only one line")
	}
	return token, err
}

// Password reads the password of the key file; empty when there is none.
func (s Signing) Password() (string, error) {
	if s.PasswordFile == "" && s.PasswordEnv == "" {
		return "", nil
	}
	return readSecret("password", s.PasswordFile, s.PasswordEnv)
}

// Password reads the password of PostgreSQL's user; empty when there is none.
func (s Storage) Password() (string, error) {
	if s.PasswordFile == "" && s.PasswordEnv == "" {
		return "", nil
	}
	return readSecret("password", s.PasswordFile, s.PasswordEnv)
}
