"""What authors of backends need to test them: the conformance kit and real servers."""
