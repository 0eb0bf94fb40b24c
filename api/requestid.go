package api

import (
	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// requestIDs gives every request an id: the client's own if it is printable and short,
// otherwise a new one.
func requestIDs(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !printable(id, maxRequestID) {
			id = job.NewID()
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

func requestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// maxRequestID limits the length of a client's request id.
const maxRequestID = 128

// printable reports whether id consists of 1 to most printable ASCII characters without
// spaces.
func printable(id string, most int) bool {
	if id == "" || len(id) > most {
		return false
	}
	for i := range len(id) {
		if id[i] < 0x21 || id[i] > 0x7e {
			return false
		}
	}
	return true
}
