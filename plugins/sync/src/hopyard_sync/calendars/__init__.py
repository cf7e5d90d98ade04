"""Events: iCalendar text, its merging between two sides, and what people see of it."""
