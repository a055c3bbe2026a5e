//! Values that travel with a request.

use std::any::{Any, TypeId};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use crate::middleware::Id;

/// Values that middleware and handlers leave for each other on a request, one per type. Allocates with
/// the first one. A clone is another handle to the same values: for futures that middleware waits for.
///
/// ```
/// use corelane_http::web::Extensions;
///
/// #[derive(Debug, PartialEq)]
/// struct User(String);
///
/// let extensions = Extensions::default();
/// extensions.insert(User("ada".into()));
/// assert_eq!(extensions.get::<User>().as_deref(), Some(&User("ada".into())));
/// assert!(extensions.get::<u32>().is_none());
/// ```
#[derive(Default)]
pub struct Extensions {
    values: OnceCell<Rc<Values>>,
    /// Here because it goes where they go, and apart because nearly every request may have one.
    id: OnceCell<Id>,
}

type Values = RefCell<Vec<(TypeId, Rc<dyn Any>)>>;

impl Extensions {
    /// Leaves a value, in the place of one of the same type.
    pub fn insert<T: 'static>(&self, value: T) {
        let id = TypeId::of::<T>();
        let value: Rc<dyn Any> = Rc::new(value);
        let mut values = self.values.get_or_init(Rc::default).borrow_mut();
        match values.iter_mut().find(|(other, _)| *other == id) {
            Some((_, place)) => *place = value,
            None => values.push((id, value)),
        }
    }

    /// The value of this type, if one was left.
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        let id = TypeId::of::<T>();
        let values = self.values.get()?.borrow();
        let (_, value) = values.iter().find(|(other, _)| *other == id)?;
        value.clone().downcast().ok()
    }

    /// Sets the id, unless there is one.
    #[inline]
    pub(crate) fn set_id(&self, id: impl FnOnce() -> Id) {
        self.id.get_or_init(id);
    }

    /// The id of the request, if it was given one; in a clone, if it had it then.
    #[inline]
    pub fn id(&self) -> Option<&Id> {
        self.id.get()
    }
}

impl Clone for Extensions {
    fn clone(&self) -> Extensions {
        let values = OnceCell::from(self.values.get_or_init(Rc::default).clone());
        Extensions { values, id: self.id.clone() }
    }
}
