package api

import (
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/job"
)

type topicList struct {
	Topics []book.Topic `json:"topics"`
}

// listTopics is GET /api/topics.
func (s *Server) listTopics(c echo.Context) (topicList, error) {
	if err := onlyQuery(c); err != nil {
		return topicList{}, err
	}
	hits, err := s.hitsOfLessons(c.Request().Context())
	if err != nil {
		return topicList{}, err
	}
	topics, err := s.book.Topics(c.Request().Context(), hits)
	return topicList{Topics: some(topics)}, err
}

// oneTopic is GET /api/topics/{topic}.
func (s *Server) oneTopic(c echo.Context) (book.Topic, error) {
	name, err := url.PathUnescape(c.Param("topic"))
	if err != nil {
		return book.Topic{}, job.Errorf(job.CodeInvalid, "the topic in the address is not escaped well").On("topic")
	}
	hits, err := s.hitsOfLessons(c.Request().Context())
	if err != nil {
		return book.Topic{}, err
	}
	return s.book.Topic(c.Request().Context(), name, hits)
}
